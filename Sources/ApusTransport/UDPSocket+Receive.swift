import ApusHTTP
import CApusShims
import Glibc

extension UDPSocket {
    /// Takes one batch of what waits and calls `body` with each datagram: its bytes (valid for the call),
    /// the sender, our address as the sender sees it, and the ECN bits. True if more may wait.
    package func receiveBatch(
        _ body: (
            _ datagram: UnsafeRawBufferPointer, _ remote: SocketAddress, _ local: SocketAddress, _ ecn: UInt8
        ) -> Void
    ) -> Bool {
        guard !isClosed else { return false }
        let count = apus_receiver_fill(receiver, descriptor)
        // EAGAIN, or an error that the network left behind: what waits behind that gives another event.
        guard count > 0 else { return false }
        for index in 0..<UInt32(count) {
            let message = apus_receiver_at(receiver, index).pointee
            guard let remote = Self.address(message.remote) else { continue }
            Self.split(message) { body($0, remote, localAddress(of: message), message.ecn) }
        }
        return count == Self.messagesPerBatch
    }

    private static func split(_ message: apus_datagrams, _ body: (UnsafeRawBufferPointer) -> Void) {
        let bytes = UnsafeRawBufferPointer(start: message.bytes, count: message.length)
        var start = 0
        // An empty datagram is nothing to anybody here, and would be no progress.
        while start < bytes.count {
            let end = min(start + max(message.segment_size, 1), bytes.count)
            body(UnsafeRawBufferPointer(rebasing: bytes[start..<end]))
            start = end
        }
    }

    /// The address of the packet with the port of the socket; the bound address if the kernel did not tell.
    private func localAddress(of message: apus_datagrams) -> SocketAddress {
        guard var local = Self.address(message.local) else { return localAddress }
        local.port = localAddress.port
        return local
    }

    private static func address(_ raw: sockaddr_in6) -> SocketAddress? {
        withUnsafePointer(to: raw) { pointer in
            // The field is large enough for either family, and the family says which one it holds.
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { SocketAddress($0) }
        }
    }
}
