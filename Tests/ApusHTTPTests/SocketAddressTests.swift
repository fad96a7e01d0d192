import ApusHTTP
import Glibc
import Testing

struct SocketAddressTests {
    @Test(arguments: [
        ("127.0.0.1", "127.0.0.1:8443"), ("0.0.0.0", "0.0.0.0:8443"), ("255.1.2.3", "255.1.2.3:8443"),
        ("::1", "[::1]:8443"), ("::", "[::]:8443"), ("2001:DB8:0::1", "[2001:db8::1]:8443"),
        ("::ffff:1.2.3.4", "[::ffff:1.2.3.4]:8443"),
    ])
    func `a literal survives the socket interface`(_ literal: String, _ description: String) throws {
        let address = try #require(SocketAddress(literal: literal, port: 8443))
        #expect(address.description == description)
        let copy = try #require(address.withSockAddr { raw, _ in SocketAddress(raw) })
        #expect(copy == address)
        #expect(copy.hashValue == address.hashValue)
        #expect(copy.port == 8443)
    }

    @Test(arguments: ["", "localhost", "127.0.0.1:80", "[::1]", "1.2.3", "256.0.0.1", "::g"])
    func `what is no literal is refused`(_ text: String) {
        #expect(SocketAddress(literal: text, port: 1) == nil)
    }

    @Test func `the socket interface is told family, size and port in network order`() throws {
        let four = try #require(SocketAddress(literal: "1.2.3.4", port: 0x1234))
        four.withSockAddr { raw, length in
            #expect(length == 16)
            #expect(Int32(raw.pointee.sa_family) == AF_INET)
            #expect(Array(UnsafeRawBufferPointer(start: raw, count: 8)[2...]) == [0x12, 0x34, 1, 2, 3, 4])
        }
        let six = try #require(SocketAddress(literal: "::1", port: 1))
        six.withSockAddr { raw, length in
            #expect(length == 28)
            #expect(Int32(raw.pointee.sa_family) == AF_INET6)
        }
    }

    @Test func `addresses differ by host, port, family and interface`() throws {
        let base = try #require(SocketAddress(literal: "1.2.3.4", port: 1))
        #expect(base != SocketAddress(literal: "1.2.3.5", port: 1))
        #expect(base != SocketAddress(literal: "1.2.3.4", port: 2))
        #expect(base != SocketAddress(literal: "::ffff:1.2.3.4", port: 1))
        var raw = sockaddr_in6()
        raw.sin6_family = sa_family_t(AF_INET6)
        func address(scope: UInt32) -> SocketAddress? {
            raw.sin6_scope_id = scope
            return withUnsafePointer(to: &raw) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { SocketAddress($0) }
            }
        }
        #expect(address(scope: 1) != nil)
        #expect(address(scope: 1) != address(scope: 2))
    }

    @Test func `other families are refused`() {
        var raw = sockaddr()
        raw.sa_family = sa_family_t(AF_UNIX)
        #expect(withUnsafePointer(to: &raw) { SocketAddress($0) } == nil)
    }
}
