import ApusHTTP
import CApusShims
import Glibc

/// Reads the datagrams that others have forwarded to a slot. The descriptor stays the caller's.
///
/// Confined to its loop's thread.
package final class ForwardedDatagrams {
    /// Datagrams taken by one call.
    package static let datagramsPerBatch = 64
    /// Bytes of a datagram, as many as UDP's length field can say.
    static let maxDatagramBytes = 65_535

    /// Messages that were none of ours.
    package private(set) var malformedCount = 0

    private let receiver: Int32
    private let buffer = UnsafeMutableRawBufferPointer.allocate(
        byteCount: ForwardedHeader.byteCount + maxDatagramBytes,
        alignment: 16
    )
    private var registered: (loop: EventLoop, registration: Registration)?

    package init(receiver: Int32) {
        self.receiver = receiver
    }

    deinit {
        // While it is watched, its handler keeps it alive: there is nothing to deregister here.
        buffer.deallocate()
    }

    /// Watches for datagrams, level-triggered.
    package func register(on loop: EventLoop, handler: any EventHandler) throws(SystemError) {
        registered = (loop, try loop.register(receiver, handler: handler, mode: .level))
    }

    /// Watches no longer, and lets go of the handler; what waits is left to the slot's next reader. Harmless
    /// if repeated.
    package func stop() {
        if let registered { registered.loop.deregister(registered.registration, descriptor: receiver) }
        registered = nil
    }

    /// Takes one batch of what waits and calls `body` with each datagram: its bytes (valid for the call), the
    /// place where it came in (as the sender says: to be looked up, not trusted), the sender's address, ours,
    /// and the ECN bits. True if more may wait.
    package func receiveBatch(
        _ body: (
            _ datagram: UnsafeRawBufferPointer, _ place: Int, _ remote: SocketAddress, _ local: SocketAddress,
            _ ecn: UInt8
        ) -> Void
    ) -> Bool {
        for _ in 0..<Self.datagramsPerBatch {
            let count = apus_receive_whole(receiver, buffer.baseAddress, buffer.count)
            guard count >= 0 || count == -Int(EMSGSIZE) else { return false }
            let message = UnsafeRawBufferPointer(rebasing: buffer[..<max(0, count)])
            guard let header = ForwardedHeader(message) else {
                malformedCount += 1
                continue
            }
            let datagram = UnsafeRawBufferPointer(rebasing: message[ForwardedHeader.byteCount...])
            body(datagram, Int(header.place), header.remote, header.local, header.ecn)
        }
        return true
    }
}
