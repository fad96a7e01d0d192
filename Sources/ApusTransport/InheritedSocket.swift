import ApusHTTP
import CApusShims
import Glibc

/// What the kernel says of a socket that somebody else has bound.
struct InheritedSocket {
    let descriptor: Int32
    let kind: BoundSocket.Kind
    let address: BindAddress
    /// `AF_INET`, `AF_INET6` or `AF_UNIX`.
    private let family: Int32

    /// Asks; changes nothing. Throws for what cannot be served: the call's name says what was looked at.
    init(_ descriptor: Int32) throws(SystemError) {
        self.descriptor = descriptor
        family = try getOption(descriptor, SOL_SOCKET, SO_DOMAIN)
        kind = try Self.kind(of: descriptor, family)
        guard let address = Self.address(of: descriptor, family) else {
            throw SystemError("bound address", code: EDESTADDRREQ)
        }
        // What is bound to IPv4 in the guise of IPv6 would tell its own address as the one and its peers' as the other.
        if kind == .udp, case .ip(let ip) = address, (ip.family == .ipv6) != (family == AF_INET6) {
            throw SystemError("socket family", code: EAFNOSUPPORT)
        }
        self.address = address
        guard !Self.hasPeer(descriptor) else { throw SystemError("peer", code: EISCONN) }
    }

    private static func kind(of descriptor: Int32, _ family: Int32) throws(SystemError) -> BoundSocket.Kind {
        let type = try getOption(descriptor, SOL_SOCKET, SO_TYPE)
        let (isStream, isDatagram) = (type == Int32(SOCK_STREAM.rawValue), type == Int32(SOCK_DGRAM.rawValue))
        switch family {
        case AF_UNIX:
            guard isStream else { throw SystemError("socket type", code: ESOCKTNOSUPPORT) }
            return .unix
        case AF_INET, AF_INET6:
            guard isStream || isDatagram else { throw SystemError("socket type", code: ESOCKTNOSUPPORT) }
            // SCTP has streams too, and ping sockets are of the datagram type.
            let protocols = isStream ? [Int32(IPPROTO_TCP), Int32(IPPROTO_MPTCP)] : [Int32(IPPROTO_UDP)]
            guard protocols.contains(try getOption(descriptor, SOL_SOCKET, SO_PROTOCOL)) else {
                throw SystemError("socket protocol", code: EPROTONOSUPPORT)
            }
            return isStream ? .tcp : .udp
        default:
            throw SystemError("socket family", code: EAFNOSUPPORT)
        }
    }

    private static func address(of descriptor: Int32, _ family: Int32) -> BindAddress? {
        if family == AF_UNIX { return UnixAddress.local(of: descriptor) }
        // An unbound socket has port 0.
        guard let address = SocketAddress.local(of: descriptor), address.port != 0 else { return nil }
        return .ip(address)
    }

    private static func hasPeer(_ descriptor: Int32) -> Bool {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        return withUnsafeMutablePointer(to: &storage) { storage in
            storage.withMemoryRebound(to: sockaddr.self, capacity: 1) { getpeername(descriptor, $0, &length) == 0 }
        }
    }

    /// Makes it what our own sockets are.
    func prepare() throws(SystemError) {
        try setNonBlockingAndCloseOnExec(descriptor)
        switch kind {
        case .udp:
            let result = apus_udp_configure(descriptor, family, UDPSocket.kernelBufferBytes)
            guard result == 0 else { throw SystemError("setsockopt", code: -result) }
        case .tcp, .unix:
            if kind == .tcp { try setOption(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, 1) }
            guard try getOption(descriptor, SOL_SOCKET, SO_ACCEPTCONN) == 0 else { return }
            guard listen(descriptor, BoundSocket.defaultBacklog) == 0 else { throw .last("listen") }
        }
    }
}

/// Reads an integer socket option.
func getOption(_ descriptor: Int32, _ level: Int32, _ option: Int32) throws(SystemError) -> Int32 {
    var value: Int32 = 0
    var length = socklen_t(MemoryLayout<Int32>.size)
    guard getsockopt(descriptor, level, option, &value, &length) == 0 else { throw .last("getsockopt") }
    return value
}

/// Gives a descriptor from elsewhere the two flags that ours are made with.
func setNonBlockingAndCloseOnExec(_ descriptor: Int32) throws(SystemError) {
    let flags = fcntl(descriptor, F_GETFL)
    guard flags >= 0, fcntl(descriptor, F_SETFL, flags | O_NONBLOCK) == 0,
        fcntl(descriptor, F_SETFD, FD_CLOEXEC) == 0
    else { throw .last("fcntl") }
}
