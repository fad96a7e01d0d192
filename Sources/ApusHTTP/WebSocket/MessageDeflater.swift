import ApusGateway
import CZlib

/// Compresses messages of ours (RFC 7692 §7.2.1), where that makes them smaller.
///
/// The first piece of a message decides whether it is compressed at all: `start` returns what to send with RSV1 set, or
/// nil where the message goes out as it is and the deflater has nothing to do with its other pieces. The context is
/// allocated at the first message worth it, and where it is not taken over it is gone at the end of each.
package final class MessageDeflater {
    /// A message shorter than this goes out as it is: there is nothing to win.
    package static let leastSize = 64
    /// How many messages at most go out untried because those before did not shrink.
    package static let maxUntried = 64

    private let windowBits: Int
    private let keepsContext: Bool
    /// zlib keeps a pointer to it: on the heap, in its place until it is ended.
    private var stream: UnsafeMutablePointer<z_stream>?
    /// How many messages went untried after the last one that did not shrink, and how many of them are still to come.
    private var pause = 0
    private var pauseLeft = 0

    package init(_ agreed: PerMessageDeflate) {
        windowBits = agreed.serverMaxWindowBits
        keepsContext = !agreed.serverNoContextTakeover
    }

    deinit {
        release()
    }

    /// Whether it holds memory of zlib's; an idle one without context take-over does not.
    package var hasContext: Bool { stream != nil }

    /// Compresses a message, or the first piece of one.
    ///
    /// - Returns: The payload of a frame with RSV1; nil where the whole message is to go out as it is.
    package func start(_ piece: UnsafeRawBufferPointer, isLast: Bool) -> Bytes? {
        guard piece.count >= Self.leastSize, mayTry(), let stream = openStream() else { return nil }
        // Smaller by a byte at least; of a last piece the tail is cut off.
        let mostWorth = piece.count - 1 + (isLast ? Self.tailCount : 0)
        guard let payload = compress(piece, with: stream, isLast: isLast, most: mostWorth) else {
            giveUp(stream)
            return nil
        }
        pause = 0
        if isLast { endMessage() }
        return payload
    }

    /// Compresses another piece of the message that `start` has begun.
    package func resume(_ piece: UnsafeRawBufferPointer, isLast: Bool) -> Bytes {
        guard let stream else { preconditionFailure("a compressed message is under way") }
        let payload = compress(piece, with: stream, isLast: isLast, most: .max) ?? Bytes()
        if isLast { endMessage() }
        return payload
    }

    // MARK: - The context

    /// Forgets what was compressed for nothing, and leaves the next messages untried, twice as many as the last time.
    ///
    /// The peer has not seen that data, so nothing may refer back to it: the window is emptied. The peer's own window keeps
    /// what it had, which does no harm: it is merely older than anything that we refer to from here on. DEFLATE has no
    /// other state between two blocks, and both sides are at a byte boundary (RFC 7692 §7.2.1).
    private func giveUp(_ stream: UnsafeMutablePointer<z_stream>) {
        deflateReset(stream)
        pause = min(max(1, pause * 2), Self.maxUntried)
        pauseLeft = pause
        endMessage()
    }

    private func mayTry() -> Bool {
        guard pauseLeft > 0 else { return true }
        pauseLeft -= 1
        return false
    }

    private func endMessage() {
        if !keepsContext { release() }
    }

    private func openStream() -> UnsafeMutablePointer<z_stream>? {
        if stream == nil {
            stream = ZlibStream.make {
                deflateInit2_(
                    $0,
                    Self.level,
                    Z_DEFLATED,
                    Int32(-windowBits),
                    Int32(PerMessageDeflate.memoryLevel),
                    Z_DEFAULT_STRATEGY,
                    ZLIB_VERSION,
                    ZlibStream.size
                )
            }
        }
        return stream
    }

    private func release() {
        guard let stream else { return }
        deflateEnd(stream)
        stream.deallocate()
        self.stream = nil
    }

    // MARK: - Compression

    /// How hard zlib tries: twice as fast as its default of 6, for a few percent of the size. It is the loop's time, and a
    /// large message takes it in one piece.
    private static let level: Int32 = 3
    /// The empty stored block at the end of a flush, without its first bits: 00 00 FF FF.
    private static let tailCount = 4

    /// Compresses a piece and flushes, so that the peer can inflate all of it; without the tail if it is the last.
    ///
    /// - Returns: Nil where that would take more than `most` bytes, the tail included.
    private func compress(
        _ piece: UnsafeRawBufferPointer,
        with stream: UnsafeMutablePointer<z_stream>,
        isLast: Bool,
        most: Int
    ) -> Bytes? {
        let memory = DeflatedMemory(estimate: min(piece.count / 2, most))
        guard memory.fill(from: stream, compressing: piece, most: most) else { return nil }
        // zlib makes no second empty block where nothing has come since the last flush. The empty block of that flush has
        // been sent with its tail: here is another one, without (RFC 7692 §7.2.3.6).
        if isLast, memory.count == 0 { return Bytes([0x00]) }
        memory.trim(droppingLast: isLast ? Self.tailCount : 0)
        return Bytes(owner: memory, memory: memory.contents)
    }
}
