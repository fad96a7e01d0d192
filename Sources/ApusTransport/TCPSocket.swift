import ApusHTTP
import CApusShims
import Glibc

/// What came of a read.
package enum ReadResult: Equatable, Sendable {
    case bytes(Int)
    case wouldBlock
    /// The peer has finished sending.
    case end
    /// The connection is broken; the errno value.
    case failed(Int32)
}

/// What came of a write.
package enum WriteResult: Equatable, Sendable {
    /// So many bytes were taken, perhaps fewer than offered.
    case wrote(Int)
    case wouldBlock
    /// The connection is broken; the errno value.
    case failed(Int32)
}

/// A connected, non-blocking stream socket (TCP or Unix), the only owner of its descriptor.
///
/// Confined to its loop's thread. Registered, it is kept alive through its handler until `close()`.
package final class TCPSocket {
    /// The peer's address; nil for a Unix socket.
    package let peerAddress: SocketAddress?
    /// The descriptor; -1 once closed.
    private(set) var descriptor: Int32
    private var registered: (loop: EventLoop, registration: Registration)?

    /// Takes over a non-blocking descriptor.
    init(descriptor: Int32, peerAddress: SocketAddress?) {
        self.descriptor = descriptor
        self.peerAddress = peerAddress
    }

    deinit {
        close()
    }

    package var isClosed: Bool { descriptor < 0 }

    /// The address on our side; nil for a Unix socket. One system call: keep the answer.
    package var localAddress: SocketAddress? {
        .local(of: descriptor)
    }

    /// Watches the socket: edge-triggered, so that the handler remembers readiness until a call gives
    /// `wouldBlock` (or a short read or write, which means the same). The first event follows at once.
    package func register(on loop: EventLoop, handler: any EventHandler) throws(SystemError) {
        registered = (loop, try loop.register(descriptor, handler: handler, mode: .stream))
    }

    // MARK: Bytes

    /// Reads what is there, up to the buffer's size.
    package func read(into buffer: UnsafeMutableRawBufferPointer) -> ReadResult {
        // A read of nothing would look like the peer's end.
        guard buffer.count > 0 else { return .wouldBlock }
        let result = SystemCall.receive(descriptor, buffer.baseAddress, buffer.count)
        if result > 0 { return .bytes(result) }
        if result == 0 { return .end }
        return result == -Int(EAGAIN) ? .wouldBlock : .failed(Int32(-result))
    }

    /// Writes from at most `maxVectors` pieces in one call.
    package func write(_ vectors: UnsafeBufferPointer<iovec>) -> WriteResult {
        if vectors.count == 1 {
            return write(UnsafeRawBufferPointer(start: vectors[0].iov_base, count: vectors[0].iov_len))
        }
        let bounded = UnsafeBufferPointer(start: vectors.baseAddress, count: min(vectors.count, Self.maxVectors))
        return Self.writeResult(SystemCall.send(descriptor, bounded))
    }

    /// The kernel's limit for one vectored write (IOV_MAX).
    package static let maxVectors = 1024

    /// Writes a part of an open file without copying it through this process; `.wrote(0)` means that the
    /// file ended before `offset`. On the loop's thread only: that is where SIGPIPE is blocked, which
    /// this call (unlike `write`) may raise.
    package func sendFile(from file: Int32, offset: Int, count: Int) -> WriteResult {
        Self.writeResult(SystemCall.send(descriptor, file: file, offset: offset, count: count))
    }

    /// Writes what fits of one piece of memory.
    package func write(_ bytes: UnsafeRawBufferPointer) -> WriteResult {
        Self.writeResult(SystemCall.send(descriptor, bytes))
    }

    private static func writeResult(_ result: Int) -> WriteResult {
        if result >= 0 { return .wrote(result) }
        return result == -Int(EAGAIN) ? .wouldBlock : .failed(Int32(-result))
    }

    /// Bytes that were written and that the peer's kernel has not yet taken; 0 where that cannot be told.
    package var unacknowledgedBytes: Int {
        max(Int(apus_unacknowledged(descriptor)), 0)
    }

    // MARK: Ends

    /// Sends the FIN after what was written; reading goes on.
    package func shutdownWrite() {
        // It fails only where the peer has gone already, which reading tells.
        shutdown(descriptor, Int32(SHUT_WR))
    }

    /// Closes; what was written is still delivered, unless unread bytes are waiting (then the kernel
    /// resets the connection). Harmless if repeated.
    package func close() {
        guard descriptor >= 0 else { return }
        if let registered { registered.loop.deregister(registered.registration, descriptor: descriptor) }
        registered = nil
        // No retry on EINTR: on Linux the descriptor is gone whatever the result.
        Glibc.close(descriptor)
        descriptor = -1
    }

    /// Closes with a reset, dropping what was not yet delivered: the peer cannot take it for a clean end.
    package func abort() {
        guard descriptor >= 0 else { return }
        var option = linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
        close()
    }
}
