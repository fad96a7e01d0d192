import ApusHTTP
import CApusShims
import Glibc

/// A listening stream socket (TCP or Unix), the only owner of its descriptor.
///
/// It is bound and listening once it exists, so that an address in use shows before anything runs; it
/// accepts from `start` on. Confined to the thread of the loop it was started on.
package final class TCPListener {
    /// Where it listens, with the port that the kernel chose if port 0 was asked for.
    package let localAddress: BindAddress

    let descriptor: Int32
    private let socketFile: SocketFile?
    /// What `start` was given.
    private(set) var acceptor: Acceptor?
    /// While it is watched.
    private(set) var registration: Registration?
    /// Whether the present shortage of descriptors or memory has been reported.
    var hasReportedShortage = false
    private var isClosed = false

    /// Binds and listens. `::` listens to IPv4 too unless `dualStack` is false (for one who listens on
    /// `0.0.0.0` with the same port as well); a Unix socket's file is replaced if nobody listens on it, and
    /// its mode is 0666 less the process's umask.
    package init(
        address: BindAddress,
        backlog: Int32 = 4096,
        reusePort: Bool = false,
        dualStack: Bool = true
    ) throws(SystemError) {
        switch address {
        case .ip(let ip):
            descriptor = try Self.bind(ip, reusePort: reusePort, dualStack: dualStack)
            socketFile = nil
        case .unix(let path):
            (descriptor, socketFile) = try SocketFile.bind(path: path)
        }
        guard listen(descriptor, backlog) == 0 else {
            let error = SystemError.last("listen")
            Glibc.close(descriptor)
            socketFile?.unlinkIfOurs()
            throw error
        }
        if case .ip(let ip) = address {
            localAddress = .ip(.local(of: descriptor) ?? ip)
        } else {
            localAddress = address
        }
    }

    deinit {
        // A watched listener is kept alive by its loop, so there is nothing to deregister here.
        if !isClosed { release() }
    }

    private static func bind(
        _ address: SocketAddress,
        reusePort: Bool,
        dualStack: Bool
    ) throws(SystemError) -> Int32 {
        let type = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        let descriptor = socket(address.family == .ipv4 ? AF_INET : AF_INET6, type, 0)
        guard descriptor >= 0 else { throw .last("socket") }
        do {
            try configure(descriptor, address, reusePort: reusePort, dualStack: dualStack)
        } catch {
            Glibc.close(descriptor)
            throw error
        }
        return descriptor
    }

    private static func configure(
        _ descriptor: Int32,
        _ address: SocketAddress,
        reusePort: Bool,
        dualStack: Bool
    ) throws(SystemError) {
        try setOption(descriptor, SOL_SOCKET, SO_REUSEADDR, 1)
        if reusePort { try setOption(descriptor, SOL_SOCKET, SO_REUSEPORT, 1) }
        if address.family == .ipv6 { try setOption(descriptor, Int32(IPPROTO_IPV6), IPV6_V6ONLY, dualStack ? 0 : 1) }
        // Accepted sockets inherit it from here, which saves a call for each.
        try setOption(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, 1)
        guard address.withSockAddr({ Glibc.bind(descriptor, $0, $1) }) == 0 else { throw .last("bind") }
    }

    // MARK: Accepting

    /// Accepts on `loop` from now on. `onAccept` gets each connection, not yet registered; `onPause` is
    /// told once when accepting is interrupted because the system is short of descriptors or memory.
    package func start(
        on loop: EventLoop,
        onAccept: @escaping (TCPSocket) -> Void,
        onPause: @escaping (SystemError) -> Void = { _ in }
    ) throws(SystemError) {
        precondition(acceptor == nil && !isClosed, "a listener starts once")
        acceptor = Acceptor(loop: loop, listener: self, onAccept: onAccept, onPause: onPause)
        try resume()
    }

    /// Leaves new connections in the kernel's queue.
    package func pause() {
        acceptor?.retryTimer.set(nil)
        unwatch()
    }

    /// Accepts again.
    package func resume() throws(SystemError) {
        guard let acceptor, registration == nil else { return }
        acceptor.retryTimer.set(nil)
        registration = try acceptor.loop.register(descriptor, handler: self, mode: .level)
    }

    func unwatch() {
        if let registration { acceptor?.loop.deregister(registration, descriptor: descriptor) }
        registration = nil
    }

    /// Stops listening; connections that were not accepted are reset. Harmless if repeated.
    package func close() {
        guard !isClosed else { return }
        pause()
        acceptor = nil
        release()
    }

    private func release() {
        isClosed = true
        socketFile?.unlinkIfOurs()
        Glibc.close(descriptor)
    }
}
