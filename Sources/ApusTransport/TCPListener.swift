import ApusHTTP
import CApusShims
import Glibc

/// Accepts from a listening stream socket (TCP or Unix).
///
/// The socket is bound and listening once the listener exists, so that an address in use shows before
/// anything runs; it accepts from `start` on. Confined to the thread of the loop it was started on.
package final class TCPListener {
    /// The socket, which other processes may have too.
    package let socket: BoundSocket
    /// The socket's, at hand for every accept.
    let descriptor: Int32
    /// Whether others accept from the same socket: then one of those who wait is woken for a connection, not all.
    private let isShared: Bool
    /// What `start` was given.
    private(set) var acceptor: Acceptor?
    /// While it is watched.
    private(set) var registration: Registration?
    /// Between `pause` and `resume`; a shortage is no pause of this kind.
    private(set) var isPaused = false
    /// Whether the present shortage of descriptors or memory has been reported.
    var hasReportedShortage = false
    private var isClosed = false

    /// Accepts from a stream socket.
    package init(socket: BoundSocket, isShared: Bool = false) {
        precondition(socket.kind != .udp, "a listener needs a stream socket")
        self.socket = socket
        self.isShared = isShared
        descriptor = socket.descriptor
    }

    /// Binds and listens. `::` listens to IPv4 too unless `dualStack` is false (for one who listens on
    /// `0.0.0.0` with the same port as well); a Unix socket's file is replaced if nobody listens on it, and
    /// its mode is 0666 less the process's umask.
    package convenience init(
        address: BindAddress,
        backlog: Int32 = BoundSocket.defaultBacklog,
        reusePort: Bool = false,
        dualStack: Bool = true
    ) throws(SystemError) {
        switch address {
        case .ip(let ip):
            self.init(socket: try .tcp(ip, backlog: backlog, reusePort: reusePort, dualStack: dualStack))
        case .unix, .abstract:
            self.init(socket: try .unix(address, backlog: backlog))
        }
    }

    /// Where it listens, with the port that the kernel chose if port 0 was asked for.
    package var localAddress: BindAddress { socket.address }

    // MARK: Accepting

    /// Accepts on `loop` from now on. `onAccept` gets each connection, not yet registered; `onPause` is
    /// told once when accepting is interrupted because the system is short of descriptors or memory.
    package func start(
        on loop: EventLoop,
        onAccept: @escaping (TCPSocket) -> Void,
        onPause: @escaping (SystemError) -> Void = { _ in }
    ) throws(SystemError) {
        precondition(acceptor == nil && !isClosed, "a listener starts once, or again after a stop")
        acceptor = Acceptor(loop: loop, listener: self, onAccept: onAccept, onPause: onPause)
        try resume()
    }

    /// Leaves new connections in the kernel's queue; `accept(atMost:)` still takes them from there.
    package func pause() {
        isPaused = true
        acceptor?.retryTimer.set(nil)
        unwatch()
    }

    /// Accepts again.
    package func resume() throws(SystemError) {
        guard let acceptor else { return }
        isPaused = false
        guard registration == nil else { return }
        acceptor.retryTimer.set(nil)
        registration = try acceptor.loop.register(descriptor, handler: self, mode: isShared ? .shared : .level)
    }

    func unwatch() {
        if let registration { acceptor?.loop.deregister(registration, descriptor: descriptor) }
        registration = nil
    }

    /// Accepts no longer and lets go of what `start` was given; the socket stays open, and whoever else has it
    /// gets what waits. Harmless if repeated.
    package func stop() {
        pause()
        acceptor = nil
    }

    /// Stops, and closes the socket: connections that were not accepted are reset, unless another process has
    /// the socket too. Harmless if repeated.
    package func close() {
        guard !isClosed else { return }
        stop()
        isClosed = true
        socket.close()
    }
}
