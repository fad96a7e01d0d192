import ApusHTTP
import Glibc

/// What went wrong between a client and the server, in one sentence.
package struct ClientFailure: Error, CustomStringConvertible {
    package let description: String

    package init(_ description: String) {
        self.description = description
    }

    /// A system call that failed just now.
    init(call: String) {
        self.init("\(call): \(String(cString: strerror(errno)))")
    }
}

/// A client's socket on TCP or UDP: it blocks in ``wait(input:output:until:)`` alone.
final class ClientSocket {
    enum Transport {
        case tcp
        case udp
    }

    enum Input {
        case bytes([UInt8])
        /// Nothing has come yet.
        case nothing
        /// The server's FIN.
        case end
    }

    let local: SocketAddress
    let remote: SocketAddress
    private var descriptor: Int32
    private var room = [UInt8](repeating: 0, count: 64 * 1024)

    init(_ transport: Transport, to remote: SocketAddress) throws {
        let type = transport == .tcp ? SOCK_STREAM : SOCK_DGRAM
        let family = remote.family == .ipv4 ? AF_INET : AF_INET6
        let descriptor = socket(family, Int32(type.rawValue | SOCK_CLOEXEC.rawValue), 0)
        // On loopback a connection is there at once, or refused.
        guard remote.withSockAddr({ connect(descriptor, $0, $1) }) == 0, let local = Self.localAddress(descriptor)
        else {
            defer { Glibc.close(descriptor) }
            throw ClientFailure(call: "connect to \(remote)")
        }
        self.descriptor = descriptor
        self.local = local
        self.remote = remote
        _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
        if transport == .tcp {
            var on: Int32 = 1
            setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
        }
    }

    private static func localAddress(_ descriptor: Int32) -> SocketAddress? {
        var storage = sockaddr_storage()
        return withUnsafeMutablePointer(to: &storage) { storage in
            storage.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
                getsockname(descriptor, address, &length)
                return SocketAddress(UnsafePointer(address))
            }
        }
    }

    deinit {
        if descriptor >= 0 { Glibc.close(descriptor) }
    }

    /// Sends what the kernel takes at once; returns how much that was.
    func send(_ bytes: ArraySlice<UInt8>) throws -> Int {
        let sent = bytes.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
        if sent >= 0 { return sent }
        guard errno == EAGAIN || errno == EINTR else { throw ClientFailure(call: "send") }
        return 0
    }

    /// Takes what has come.
    func receive() throws -> Input {
        let count = room.withUnsafeMutableBytes { recv(descriptor, $0.baseAddress, $0.count, 0) }
        if count > 0 { return .bytes(Array(room[..<count])) }
        if count == 0 { return .end }
        guard errno == EAGAIN || errno == EINTR else { throw ClientFailure(call: "recv") }
        return .nothing
    }

    /// Waits until there is something to read, room to write, or an error.
    ///
    /// - Returns: Whether there is; false at the deadline.
    func wait(input: Bool = true, output: Bool = false, until deadline: Instant) -> Bool {
        let left = deadline.since(.now).nanoseconds
        let events = (input ? POLLIN : 0) | (output ? POLLOUT : 0)
        var item = pollfd(fd: descriptor, events: Int16(events), revents: 0)
        // Rounded up: a wait that ends a moment too early would only be repeated.
        return poll(&item, 1, Int32(clamping: left / 1_000_000 + (left > 0 ? 1 : 0))) > 0
    }

    /// Sends the FIN.
    func finish() {
        shutdown(descriptor, Int32(SHUT_WR))
    }

    /// Breaks the connection off: the server sees a reset. Nothing may be asked of the socket afterwards.
    func breakOff() {
        var option = linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
        Glibc.close(descriptor)
        descriptor = -1
    }
}
