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

/// Reads and sends through a UDP socket as QUIC wants it: batches both ways (GRO, GSO), the peer's view of
/// our address, ECN, no fragmentation.
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

    /// The socket, which other processes may have too.
    package let socket: BoundSocket
    /// Where it is bound, with the port that the kernel chose if port 0 was asked for.
    package let localAddress: SocketAddress
    /// Whether the kernel cuts trains into datagrams; found out in sending.
    package internal(set) var segmentsInKernel = true

    /// The socket's, at hand for every call.
    let descriptor: Int32
    let receiver: OpaquePointer
    private var registered: (loop: EventLoop, registration: Registration)?
    /// What it is watched for, while it is registered.
    private var interest: IOEvents = []
    private(set) var isClosed = false

    /// Uses a UDP socket; it is read once it is registered with a loop. An inherited one may be of both families:
    /// then IPv4 peers, and our address as they see it, have the form `::ffff:192.0.2.1` both ways (see `unmapped`).
    package init(socket: BoundSocket) throws(SystemError) {
        guard socket.kind == .udp, case .ip(let address) = socket.address else {
            preconditionFailure("a UDP socket needs a bound socket of its kind")
        }
        // A message that the kernel has put together may be as large as UDP allows.
        guard let receiver = apus_receiver_new(UInt32(Self.messagesPerBatch), 65_536) else {
            throw SystemError("malloc", code: ENOMEM)
        }
        self.socket = socket
        self.receiver = receiver
        descriptor = socket.descriptor
        localAddress = address
    }

    /// Binds a socket of its own.
    package convenience init(address: SocketAddress, reusePort: Bool = false) throws(SystemError) {
        try self.init(socket: .udp(address, reusePort: reusePort))
    }

    deinit {
        // A watched socket is kept alive by its handler, so there is nothing to deregister here.
        apus_receiver_free(receiver)
    }

    /// Watches the socket: level-triggered, for reading unless another reads it, and for writing while
    /// `setWantsWritable(true)`.
    package func register(
        on loop: EventLoop,
        handler: any EventHandler,
        isReading: Bool = true
    ) throws(SystemError) {
        registered = (loop, try loop.register(descriptor, handler: handler, mode: isReading ? .level : .idle))
        interest = isReading ? .readable : []
    }

    /// Reports what comes, or leaves it to whoever else reads the socket.
    package func setReading(_ wanted: Bool) throws(SystemError) {
        try setInterest(wanted ? interest.union(.readable) : interest.subtracting(.readable))
    }

    /// Asks for a writable event, after a send that would block, or no longer.
    package func setWantsWritable(_ wanted: Bool) throws(SystemError) {
        try setInterest(wanted ? interest.union(.writable) : interest.subtracting(.writable))
    }

    private func setInterest(_ wanted: IOEvents) throws(SystemError) {
        guard let registered, wanted != interest else { return }
        try registered.loop.setInterest(wanted, registered.registration, descriptor: descriptor)
        interest = wanted
    }

    /// Watches no longer, and lets go of the handler; the socket stays open and can still send. Harmless if
    /// repeated.
    package func stop() {
        if let registered { registered.loop.deregister(registered.registration, descriptor: descriptor) }
        registered = nil
        interest = []
    }

    /// Stops and closes the socket; from now on it receives nothing and drops what it is given. Harmless if
    /// repeated.
    package func close() {
        guard !isClosed else { return }
        stop()
        isClosed = true
        socket.close()
    }
}
