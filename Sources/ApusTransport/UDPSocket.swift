import ApusHTTP
import CApusShims
import Glibc

/// What came of sending one train of datagrams.
package enum UDPSendResult: Equatable, Sendable {
    case sent
    /// The socket's buffer is full. The first `sent` bytes have left (0 unless the kernel's segmentation
    /// is off); the rest is to be offered again when the socket is writable.
    case wouldBlock(sent: Int)
    /// Lost as if on the way: too large, no route, no memory, refused by a firewall. The errno value.
    case dropped(Int32)
}

/// A non-blocking UDP socket of one address family as QUIC wants it: batches both ways (GRO, GSO), the
/// peer's view of our address, ECN, no fragmentation. The only owner of its descriptor.
///
/// Confined to its loop's thread. `::` takes IPv6 only: serving every address takes a second socket.
package final class UDPSocket {
    /// Segments that every kernel with GSO takes in one train.
    package static let maxSegments = 64
    /// Bytes of one train, within what a UDP datagram over IPv4 could carry.
    package static let maxTrainBytes = 65_000
    /// Messages taken by one call; each may hold up to 64 datagrams of one sender.
    static let messagesPerBatch = 8
    /// What is asked for as the kernel's buffers; the system's maximum may be less.
    static let kernelBufferBytes: Int32 = 7 << 20

    /// Where it is bound, with the port that the kernel chose if port 0 was asked for.
    package let localAddress: SocketAddress
    /// Whether the kernel cuts trains into datagrams; found out in sending.
    package internal(set) var segmentsInKernel = true

    let descriptor: Int32
    let receiver: OpaquePointer
    private var registered: (loop: EventLoop, registration: Registration)?
    private var wantsWritable = false
    private(set) var isClosed = false

    /// Binds the socket; it is read once it is registered with a loop.
    package init(address: SocketAddress, reusePort: Bool = false) throws(SystemError) {
        let result = address.withSockAddr { apus_udp_open($0, $1, reusePort ? 1 : 0, Self.kernelBufferBytes) }
        guard result >= 0 else { throw SystemError("bind", code: -result) }
        // A message that the kernel has put together may be as large as UDP allows.
        guard let receiver = apus_receiver_new(UInt32(Self.messagesPerBatch), 65_536) else {
            Glibc.close(result)
            throw SystemError("malloc", code: ENOMEM)
        }
        descriptor = result
        self.receiver = receiver
        localAddress = .local(of: result) ?? address
    }

    deinit {
        close()
        apus_receiver_free(receiver)
    }

    /// Watches the socket: level-triggered, for reading, and for writing while `setWantsWritable(true)`.
    package func register(on loop: EventLoop, handler: any EventHandler) throws(SystemError) {
        registered = (loop, try loop.register(descriptor, handler: handler, mode: .level))
    }

    /// Asks for a writable event, after a send that would block, or no longer.
    package func setWantsWritable(_ wanted: Bool) throws(SystemError) {
        guard let registered, wanted != wantsWritable else { return }
        try registered.loop.setWantsWritable(wanted, registered.registration, descriptor: descriptor)
        wantsWritable = wanted
    }

    /// Closes the socket; from now on it receives nothing and drops what it is given. Harmless if repeated.
    package func close() {
        guard !isClosed else { return }
        isClosed = true
        if let registered { registered.loop.deregister(registered.registration, descriptor: descriptor) }
        registered = nil
        Glibc.close(descriptor)
    }
}
