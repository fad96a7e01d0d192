import ApusHTTP
import CApusShims
import Glibc

extension SocketAddress {
    /// Lets a call such as `getsockname` fill in an address; nil if it fails or gives neither IPv4 nor IPv6.
    /// An IPv4 client of a dual-stack socket is given as what it is.
    static func read(_ fill: (UnsafeMutablePointer<sockaddr>, inout socklen_t) -> Int32) -> SocketAddress? {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        return withUnsafeMutablePointer(to: &storage) { storage in
            storage.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                guard fill(address, &length) >= 0 else { return nil }
                return SocketAddress(address)?.unmapped
            }
        }
    }

    /// `::ffff:192.0.2.1` as `192.0.2.1`; any other address as it is.
    package var unmapped: SocketAddress {
        guard family == .ipv6 else { return self }
        return withSockAddr { raw, _ in
            let six = UnsafeRawPointer(raw).loadUnaligned(as: sockaddr_in6.self)
            return withUnsafeBytes(of: six.sin6_addr) { bytes in
                guard bytes[..<10].allSatisfy({ $0 == 0 }), bytes[10] == 0xff, bytes[11] == 0xff else { return self }
                var four = sockaddr_in()
                four.sin_family = sa_family_t(AF_INET)
                four.sin_port = six.sin6_port
                // The slice is the 4 bytes of the IPv4 address, in network order like `s_addr`.
                four.sin_addr.s_addr = bytes.loadUnaligned(fromByteOffset: 12, as: UInt32.self)
                return withUnsafePointer(to: four) { pointer in
                    pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { SocketAddress($0) } ?? self
                }
            }
        }
    }

    /// The address that the descriptor is bound to.
    static func local(of descriptor: Int32) -> SocketAddress? {
        read { getsockname(descriptor, $0, &$1) }
    }

    /// The address that the descriptor is connected to.
    static func peer(of descriptor: Int32) -> SocketAddress? {
        read { getpeername(descriptor, $0, &$1) }
    }
}
