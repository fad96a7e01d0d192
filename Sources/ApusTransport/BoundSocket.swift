import ApusHTTP
import CApusShims
import Glibc
import Synchronization

/// A bound socket (of a stream kind: a listening one), the only owner of its descriptor. It may outlive
/// those who use it: a listener or UDP socket made of it can stop, and the address stays ours.
///
/// `@unchecked Sendable`: everything is constant but `isClosed`, which is atomic. Who closes it sees to it
/// that nobody uses the descriptor any more.
package final class BoundSocket: @unchecked Sendable {
    package enum Kind: Hashable, Sendable {
        case tcp
        case unix
        case udp
    }

    /// Connections that wait to be accepted, where nothing else is asked for; the system's maximum may be less.
    package static let defaultBacklog: Int32 = 4096

    package let descriptor: Int32
    package let kind: Kind
    /// Where it is bound, with the port that the kernel chose if port 0 was asked for.
    package let address: BindAddress
    /// The file that goes with the socket.
    private let file: SocketFile?
    private let isClosed = Atomic<Bool>(false)

    private init(descriptor: Int32, kind: Kind, address: BindAddress, file: SocketFile? = nil) {
        self.descriptor = descriptor
        self.kind = kind
        self.address = address
        self.file = file
    }

    deinit {
        close()
    }

    /// Stops listening: connections that were not accepted are reset where no other process has the socket
    /// too. Removes the file of a Unix socket that was made here. Harmless if repeated.
    package func close() {
        guard !isClosed.exchange(true, ordering: .relaxed) else { return }
        file?.unlinkIfOurs()
        Glibc.close(descriptor)
    }

    // MARK: New sockets

    /// Binds and listens. `::` listens to IPv4 too if `dualStack`. The sockets of one address that say
    /// `reusePort` are a group, in the order in which they began to listen.
    package static func tcp(
        _ address: SocketAddress,
        backlog: Int32 = defaultBacklog,
        reusePort: Bool = false,
        dualStack: Bool = true
    ) throws(SystemError) -> BoundSocket {
        let descriptor = try streamSocket(address.family == .ipv4 ? AF_INET : AF_INET6)
        do throws(SystemError) {
            try setOption(descriptor, SOL_SOCKET, SO_REUSEADDR, 1)
            if reusePort { try setOption(descriptor, SOL_SOCKET, SO_REUSEPORT, 1) }
            if address.family == .ipv6 {
                try setOption(descriptor, Int32(IPPROTO_IPV6), IPV6_V6ONLY, dualStack ? 0 : 1)
            }
            // Accepted sockets inherit it from here, which saves a call for each.
            try setOption(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, 1)
            guard address.withSockAddr({ Glibc.bind(descriptor, $0, $1) }) == 0 else { throw .last("bind") }
            guard listen(descriptor, backlog) == 0 else { throw .last("listen") }
        } catch {
            Glibc.close(descriptor)
            throw error
        }
        return BoundSocket(descriptor: descriptor, kind: .tcp, address: .ip(.local(of: descriptor) ?? address))
    }

    /// Binds a socket of one address family (`::` takes IPv6 only) with all that QUIC wants. The sockets of
    /// one address that say `reusePort` are a group, in the order in which they were bound.
    package static func udp(_ address: SocketAddress, reusePort: Bool = false) throws(SystemError) -> BoundSocket {
        let descriptor = address.withSockAddr {
            apus_udp_open($0, $1, reusePort ? 1 : 0, UDPSocket.kernelBufferBytes)
        }
        guard descriptor >= 0 else { throw SystemError("bind", code: -descriptor) }
        return BoundSocket(descriptor: descriptor, kind: .udp, address: .ip(.local(of: descriptor) ?? address))
    }

    /// Binds a Unix socket and listens. A file is replaced if nobody listens on it, and has its owner and mode
    /// before anybody can connect; an abstract address has neither.
    package static func unix(
        _ address: BindAddress,
        backlog: Int32 = defaultBacklog,
        access: UnixAccess = UnixAccess()
    ) throws(SystemError) -> BoundSocket {
        let descriptor = try streamSocket(AF_UNIX)
        var file: SocketFile?
        do throws(SystemError) {
            file = try bindUnix(descriptor, address, access)
            guard listen(descriptor, backlog) == 0 else { throw .last("listen") }
        } catch {
            file?.unlinkIfOurs()
            Glibc.close(descriptor)
            throw error
        }
        return BoundSocket(descriptor: descriptor, kind: .unix, address: address, file: file)
    }

    private static func bindUnix(
        _ descriptor: Int32,
        _ address: BindAddress,
        _ access: UnixAccess
    ) throws(SystemError) -> SocketFile? {
        switch address {
        case .unix(let path):
            return try SocketFile.bind(descriptor, path: path, access: access)
        case .abstract:
            // Better no socket than one that is open to more than was asked for.
            guard access.isDefault else { throw SystemError("chmod", code: EOPNOTSUPP) }
            guard let name = UnixAddress(address) else { throw SystemError("bind", code: ENAMETOOLONG) }
            let code = name.apply(Glibc.bind, to: descriptor)
            guard code == 0 else { throw SystemError("bind", code: code) }
            return nil
        case .ip:
            throw SystemError("bind", code: EAFNOSUPPORT)
        }
    }

    // MARK: Inherited sockets

    /// Takes over a socket that somebody else has bound, and asks the kernel what it is. It becomes
    /// non-blocking and close-on-exec, a stream socket listens, a UDP socket has all that QUIC wants.
    ///
    /// - Parameter ownsFile: whether the file of a Unix socket goes with it, because it was made by an earlier
    ///   image of this process.
    /// - Throws: where it is no bound socket of a kind that can be served; the descriptor then stays open.
    package init(inherited descriptor: Int32, ownsFile: Bool = false) throws(SystemError) {
        let facts = try InheritedSocket(descriptor)
        try facts.prepare()
        if ownsFile, case .unix(let path) = facts.address {
            file = try SocketFile.existing(path).file
        } else {
            file = nil
        }
        self.descriptor = descriptor
        kind = facts.kind
        address = facts.address
    }
}
