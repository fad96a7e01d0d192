import ApusHTTP
import CApusShims
import Glibc
import Testing

@testable import ApusTransport

/// A socket as another program might leave it to us: blocking, kept across exec.
private func foreign(
    _ family: Int32,
    _ type: __socket_type,
    _ options: (Int32) throws -> Void = { _ in }
) throws -> Int32 {
    let descriptor = socket(family, Int32(type.rawValue), 0)
    try #require(descriptor >= 0)
    try options(descriptor)
    return descriptor
}

/// Binds a foreign socket to a free port.
private func bind(_ descriptor: Int32, _ address: SocketAddress) throws {
    try #require(address.withSockAddr { Glibc.bind(descriptor, $0, $1) } == 0)
}

private func isCloseOnExec(_ descriptor: Int32) -> Bool { fcntl(descriptor, F_GETFD) & FD_CLOEXEC != 0 }
private func isNonBlocking(_ descriptor: Int32) -> Bool { fcntl(descriptor, F_GETFL) & O_NONBLOCK != 0 }

/// The error of taking over a descriptor, which stays open and is closed here.
private func refusal(_ descriptor: Int32) -> SystemError? {
    defer { close(descriptor) }
    do throws(SystemError) {
        let socket = try BoundSocket(inherited: descriptor)
        Issue.record("taken as \(socket.kind)")
        return nil
    } catch {
        if error.code != EBADF { #expect(fcntl(descriptor, F_GETFD) >= 0) }
        return error
    }
}

extension SocketTests {
    @Suite struct BoundSocketTests {
        /// Whether an address can be bound again.
        private func isFreed(_ address: SocketAddress) -> Bool {
            isClosedSoon { (try? BoundSocket.tcp(address)) != nil }
        }

        private let abstract = BindAddress.abstract(name: "apus-test-\(getpid())-bound")

        @Test func `each kind knows where it is bound, and frees the address when closed`() throws {
            for family in [SocketAddress.Family.ipv4, .ipv6] {
                let tcp = try BoundSocket.tcp(loopback(family))
                guard case .ip(let address) = tcp.address else { throw SystemError("address", code: EINVAL) }
                #expect((tcp.kind, address.family, address.port != 0) == (.tcp, family, true))
                #expect(throws: SystemError("bind", code: EADDRINUSE)) { _ = try BoundSocket.tcp(address) }
                tcp.close()
                tcp.close()
                #expect(isFreed(address))
                let udp = try BoundSocket.udp(loopback(family))
                #expect(udp.kind == .udp)
                for socket in [udp] { #expect(isCloseOnExec(socket.descriptor) && isNonBlocking(socket.descriptor)) }
            }
        }

        @Test func `a socket outlives the listener that has stopped, and serves another`() async throws {
            let socket = try BoundSocket.tcp(loopback(.ipv4))
            let first = Promise<Bool>()
            try await withLoop { loop in
                let listener = try await loop.run {
                    let listener = TCPListener(socket: socket, isShared: false)
                    try listener.start(on: loop, onAccept: { _ in first.fulfil(true) })
                    return Confined(listener)
                }
                _ = try Client(socket.address)
                #expect(try await first.next())
                try await loop.run { listener.value.stop() }
            }
            // Nobody accepts, and yet nobody is refused.
            let waiting = try Client(socket.address)
            let second = Promise<Bool>()
            try await withLoop { loop in
                try await loop.run {
                    let listener = TCPListener(socket: socket, isShared: false)
                    try listener.start(on: loop, onAccept: { _ in second.fulfil(true) })
                }
                #expect(try await second.next())
                #expect(try waiting.read(1).isEmpty)
            }
            socket.close()
            #expect(isRefused(socket.address))
        }

        @Test func `a socket goes with the last one who has it`() throws {
            let address = try BoundSocket.tcp(loopback(.ipv4)).address
            #expect(isRefused(address))
        }

        // MARK: Inherited

        @Test(arguments: [(AF_INET, "127.0.0.1"), (AF_INET6, "::1")])
        func `an inherited listener is taken as it is`(family: Int32, host: String) throws {
            let descriptor = try foreign(family, SOCK_STREAM)
            try bind(descriptor, try #require(SocketAddress(literal: host, port: 0)))
            try #require(listen(descriptor, 5) == 0)
            let socket = try BoundSocket(inherited: descriptor)
            #expect(socket.kind == .tcp)
            #expect(socket.address == SocketAddress.local(of: descriptor).map { .ip($0) })
            #expect(isCloseOnExec(descriptor) && isNonBlocking(descriptor))
            #expect(try getOption(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY) == 1)
            #expect(throws: Never.self) { try Client(socket.address) }
            socket.close()
            #expect(isRefused(socket.address))
        }

        @Test func `an inherited stream socket that is only bound is made to listen`() throws {
            let descriptor = try foreign(AF_INET, SOCK_STREAM)
            try bind(descriptor, loopback(.ipv4))
            let socket = try BoundSocket(inherited: descriptor)
            #expect(throws: Never.self) { try Client(socket.address) }
        }

        @Test(arguments: [(AF_INET, "127.0.0.1"), (AF_INET6, "::1")])
        func `an inherited UDP socket has all that our own have`(family: Int32, host: String) throws {
            let descriptor = try foreign(family, SOCK_DGRAM)
            try bind(descriptor, try #require(SocketAddress(literal: host, port: 0)))
            let socket = try BoundSocket(inherited: descriptor)
            #expect(socket.kind == .udp)
            #expect(isCloseOnExec(descriptor) && isNonBlocking(descriptor))
            let receiver = try UDPSocket(socket: socket)
            let sender = try UDPSocket(address: try #require(SocketAddress(literal: host, port: 0)))
            let train = pattern(20 * 1000)
            let sent = train.withUnsafeBytes {
                sender.send($0, segmentSize: 1000, to: receiver.localAddress, ecn: 2)
            }
            #expect(sent == .sent)
            var seen: [Datagram] = []
            // One call: the kernel hands a train over in one message (GRO).
            _ = receiver.receiveBatch { bytes, remote, local, ecn in
                seen.append(Datagram(bytes: Array(bytes), remote: remote, local: local, ecn: ecn))
            }
            let expected = stride(from: 0, to: train.count, by: 1000)
                .map {
                    Datagram(
                        bytes: Array(train[$0..<$0 + 1000]),
                        remote: sender.localAddress,
                        local: receiver.localAddress,
                        ecn: 2
                    )
                }
            #expect(seen == expected)
        }

        @Test func `an inherited UDP socket of both families serves IPv4 with addresses and ECN`() throws {
            let descriptor = try foreign(AF_INET6, SOCK_DGRAM) {
                try setOption($0, Int32(IPPROTO_IPV6), IPV6_V6ONLY, 0)
            }
            try bind(descriptor, try #require(SocketAddress(literal: "::", port: 0)))
            let server = try UDPSocket(socket: BoundSocket(inherited: descriptor))
            let client = try UDPSocket(address: loopback(.ipv4))
            // Every address of 127/8 is ours; the route alone would answer from 127.0.0.1.
            let asked = try #require(SocketAddress(literal: "127.0.0.42", port: server.localAddress.port))
            #expect(pattern(10).withUnsafeBytes { client.send($0, segmentSize: 10, to: asked, ecn: 1) } == .sent)
            var seen: Datagram?
            _ = server.receiveBatch { bytes, remote, local, ecn in
                seen = Datagram(bytes: Array(bytes), remote: remote, local: local, ecn: ecn)
            }
            let datagram = try #require(seen)
            #expect(datagram.remote.unmapped == client.localAddress)
            #expect(datagram.local.unmapped == asked)
            #expect((datagram.remote.family, datagram.local.family, datagram.ecn) == (.ipv6, .ipv6, 1))
            let reply = pattern(3000)
            let result = reply.withUnsafeBytes {
                server.send($0, segmentSize: 1000, to: datagram.remote, from: datagram.local, ecn: 2)
            }
            #expect(result == .sent)
            var answers: [Datagram] = []
            _ = client.receiveBatch { bytes, remote, local, ecn in
                answers.append(Datagram(bytes: Array(bytes), remote: remote, local: local, ecn: ecn))
            }
            #expect(answers.map(\.bytes) == stride(from: 0, to: 3000, by: 1000).map { Array(reply[$0..<$0 + 1000]) })
            #expect(answers.allSatisfy { $0.remote == asked && $0.ecn == 2 })
        }

        @Test func `an inherited Unix socket keeps its file, unless the file comes with it`() throws {
            let path = "/tmp/apus-inherited-\(getpid())"
            let made = try BoundSocket.unix(.unix(path: path))
            let heir = try BoundSocket(inherited: dup(made.descriptor))
            #expect((heir.kind, heir.address) == (.unix, .unix(path: path)))
            heir.close()
            #expect(access(path, F_OK) == 0)
            try BoundSocket(inherited: dup(made.descriptor), ownsFile: true).close()
            #expect(access(path, F_OK) != 0)
            // Somebody else's file is not removed by the one who made ours.
            let other = try BoundSocket.unix(.unix(path: path))
            made.close()
            #expect(access(path, F_OK) == 0)
            other.close()
            #expect(access(path, F_OK) != 0)
        }

        @Test func `an inherited abstract socket knows its name`() throws {
            let made = try BoundSocket.unix(abstract)
            let heir = try BoundSocket(inherited: dup(made.descriptor))
            #expect((heir.kind, heir.address) == (.unix, abstract))
            made.close()
            #expect(throws: Never.self) { try Client(abstract) }
            heir.close()
            #expect(isRefused(abstract))
        }

        @Test func `what is no socket is refused`() throws {
            #expect(refusal(open("/dev/null", O_RDONLY)) == SystemError("getsockopt", code: ENOTSOCK))
            #expect(refusal(-1) == SystemError("getsockopt", code: EBADF))
        }

        @Test func `a socket of another family or type is refused`() throws {
            #expect(refusal(try foreign(AF_NETLINK, SOCK_RAW)) == SystemError("socket family", code: EAFNOSUPPORT))
            for type in [SOCK_DGRAM, SOCK_SEQPACKET] {
                let error = refusal(try foreign(AF_UNIX, type))
                #expect(error == SystemError("socket type", code: ESOCKTNOSUPPORT))
            }
            let mapped = try foreign(AF_INET6, SOCK_DGRAM) {
                try setOption($0, Int32(IPPROTO_IPV6), IPV6_V6ONLY, 0)
                try bind($0, try #require(SocketAddress(literal: "::ffff:127.0.0.1", port: 0)))
            }
            #expect(refusal(mapped) == SystemError("socket family", code: EAFNOSUPPORT))
        }

        @Test func `a socket that is not bound is refused`() throws {
            for family in [AF_INET, AF_INET6] {
                for type in [SOCK_STREAM, SOCK_DGRAM] {
                    #expect(refusal(try foreign(family, type)) == SystemError("bound address", code: EDESTADDRREQ))
                }
            }
            #expect(refusal(try foreign(AF_UNIX, SOCK_STREAM)) == SystemError("bound address", code: EDESTADDRREQ))
        }

        @Test func `a connection is refused, be it of TCP or UDP`() throws {
            let listener = try BoundSocket.tcp(loopback(.ipv4))
            let client = try Client(listener.address)
            #expect(refusal(dup(client.descriptor)) == SystemError("peer", code: EISCONN))
            let peer = try UDPSocket(address: loopback(.ipv4))
            let connected = try foreign(AF_INET, SOCK_DGRAM)
            try #require(peer.localAddress.withSockAddr { connect(connected, $0, $1) } == 0)
            #expect(refusal(connected) == SystemError("peer", code: EISCONN))
        }
    }
}
