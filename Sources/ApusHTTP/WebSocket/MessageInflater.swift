import CZlib

/// Inflates the messages that the peer has compressed (RFC 7692 §7.2.2).
///
/// Works in steps as large as the caller's output buffer, so that it is the caller who decides how much memory a message
/// may take and when inflating goes on. No step fails loudly: what is not DEFLATE ends in `.invalid`.
///
/// For each message: `inflate` with its payload piece by piece, then `finish` until `.messageEnded`. The context is
/// allocated at the first byte of the first message, and where it is not taken over it is gone at the end of each.
package final class MessageInflater {
    /// How far one call came.
    package struct Step: Hashable {
        /// Bytes of the input that are done with.
        package let consumed: Int
        /// Bytes written to the output.
        package let produced: Int
        package let progress: Progress
    }

    package enum Progress: Hashable, Sendable {
        /// The whole input is used and all that it stands for is written.
        case needsInput
        /// The output is full: call again with what is left of the input (perhaps nothing).
        case outputFull
        /// `finish` has written the last of the message.
        case messageEnded
        /// The data is not DEFLATE, or is cut short (1007). Nothing more can be inflated.
        case invalid
        /// zlib got no memory. Nothing more can be inflated.
        case outOfMemory
    }

    /// What the sender has cut off the end of every message (RFC 7692 §7.2.2, 1).
    private static let tail: [UInt8] = [0x00, 0x00, 0xFF, 0xFF]

    private let windowBits: Int
    private let keepsContext: Bool
    /// zlib keeps a pointer to it: on the heap, in its place until it is ended.
    private var stream: UnsafeMutablePointer<z_stream>?
    /// Whether no block is open and no bit of one has come: at the start of a message and behind a final block.
    private var isBetweenStreams = true
    /// Whether all blocks that have begun have ended.
    private var isAtBlockBoundary = false
    /// How much of the tail the message under way has got.
    private var tailUsed = 0
    /// Whether the last step filled its output: zlib may hold more.
    private var isOutputFull = false
    /// Why nothing more can be inflated.
    private var failure: Progress?

    package init(_ agreed: PerMessageDeflate) {
        // zlib inflates no raw DEFLATE of window 8; a larger window understands every smaller one.
        windowBits = max(agreed.clientMaxWindowBits, 9)
        keepsContext = !agreed.clientNoContextTakeover
    }

    deinit {
        release()
    }

    /// Whether it holds memory of zlib's; an idle one without context take-over does not.
    package var hasContext: Bool { stream != nil }

    /// Inflates the next piece of the message under way into `output`, which has room for a byte at least.
    package func inflate(_ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer) -> Step {
        var consumed = 0
        var produced = 0
        while failure == nil, produced < output.count, consumed < input.count || !isBetweenStreams {
            let (used, written) = advance(
                UnsafeRawBufferPointer(rebasing: input[consumed...]),
                UnsafeMutableRawBufferPointer(rebasing: output[produced...])
            )
            consumed += used
            produced += written
            if consumed == input.count, produced < output.count { break }
        }
        isOutputFull = produced == output.count
        let progress = failure ?? (isOutputFull ? .outputFull : .needsInput)
        return Step(consumed: consumed, produced: produced, progress: progress)
    }

    /// Ends the message under way, all of whose payload has been given, and writes the rest of it into `output`.
    package func finish(into output: UnsafeMutableRawBufferPointer) -> Step {
        var produced = 0
        // What zlib still holds comes before the tail: it may be the end of a final block, which needs none.
        if isOutputFull {
            let step = inflate(UnsafeRawBufferPointer(start: nil, count: 0), into: output)
            guard step.progress == .needsInput else { return step }
            produced = step.produced
        }
        // RFC 7692 §7.2.3.4 has a sender add an octet behind a final block so that the tail fits. Where it has not, and
        // where a message has no octet at all, what is meant is clear all the same.
        if tailUsed > 0 || !isBetweenStreams {
            let step = Self.tail.withUnsafeBytes { tail in
                inflate(
                    UnsafeRawBufferPointer(rebasing: tail[tailUsed...]),
                    into: UnsafeMutableRawBufferPointer(rebasing: output[produced...])
                )
            }
            tailUsed += step.consumed
            produced += step.produced
            guard step.progress == .needsInput else {
                return Step(consumed: 0, produced: produced, progress: step.progress)
            }
        }
        if !isBetweenStreams, !isAtBlockBoundary { fail(.invalid) }
        endMessage()
        return Step(consumed: 0, produced: produced, progress: failure ?? .messageEnded)
    }

    private func endMessage() {
        tailUsed = 0
        isBetweenStreams = true
        if !keepsContext { release() }
    }

    /// One call of zlib's.
    private func advance(
        _ input: UnsafeRawBufferPointer,
        _ output: UnsafeMutableRawBufferPointer
    ) -> (consumed: Int, produced: Int) {
        guard let stream = openStream() else {
            fail(.outOfMemory)
            return (0, 0)
        }
        let given = UInt32(clamping: input.count)
        let room = UInt32(clamping: output.count)
        // zlib reads from `next_in` and never writes to it, const or not.
        stream.pointee.next_in = UnsafeMutablePointer(
            mutating: input.baseAddress?.assumingMemoryBound(to: UInt8.self)
        )
        stream.pointee.avail_in = given
        stream.pointee.next_out = output.baseAddress?.assumingMemoryBound(to: UInt8.self)
        stream.pointee.avail_out = room
        if given > 0 { isBetweenStreams = false }
        let result = CZlib.inflate(stream, Z_SYNC_FLUSH)
        let counts = (Int(given - stream.pointee.avail_in), Int(room - stream.pointee.avail_out))
        // zlib.h: 128 is added to `data_type` right behind an end-of-block code. A call without input that comes there
        // takes it away again.
        let isBehindBlock = stream.pointee.data_type & 128 != 0
        isAtBlockBoundary = isBehindBlock || isAtBlockBoundary && counts.0 == 0
        // The buffers are zlib's only during this call.
        stream.pointee.next_in = nil
        stream.pointee.next_out = nil
        settle(result, stream)
        return counts
    }

    private func settle(_ result: Int32, _ stream: UnsafeMutablePointer<z_stream>) {
        switch result {
        case Z_OK, Z_BUF_ERROR:
            break
        case Z_STREAM_END:
            // RFC 7692 §7.2.1: a block with BFINAL set ends at a byte boundary and another may follow, which may refer
            // back across it: the window stays.
            inflateResetKeep(stream)
            isBetweenStreams = true
        case Z_MEM_ERROR:
            fail(.outOfMemory)
        default:
            fail(.invalid)
        }
    }

    private func fail(_ progress: Progress) {
        failure = progress
        release()
    }

    private func openStream() -> UnsafeMutablePointer<z_stream>? {
        if stream == nil {
            stream = ZlibStream.make { inflateInit2_($0, Int32(-windowBits), ZLIB_VERSION, ZlibStream.size) }
        }
        return stream
    }

    private func release() {
        guard let stream else { return }
        inflateEnd(stream)
        stream.deallocate()
        self.stream = nil
    }
}
