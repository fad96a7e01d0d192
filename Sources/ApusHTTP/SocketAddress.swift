import Glibc

/// An IPv4 or IPv6 address with a port, as the socket interface has it.
///
/// A plain value of 28 bytes: cheap to copy for every datagram, and usable as a dictionary key.
package struct SocketAddress: Hashable, Sendable {
    package enum Family: UInt8, Sendable {
        case ipv4
        case ipv6
    }

    package let family: Family
    /// The address in network order; an IPv4 address uses the low 32 bits of `high`.
    private let high: UInt64
    private let low: UInt64
    /// The port in host order.
    package var port: UInt16
    /// The interface of a link-local IPv6 address, else 0.
    private let scopeID: UInt32

    /// Reads a `sockaddr_in` or `sockaddr_in6`; nil for any other family.
    package init?(_ address: UnsafePointer<sockaddr>) {
        switch Int32(address.pointee.sa_family) {
        case AF_INET:
            let raw = UnsafeRawPointer(address).loadUnaligned(as: sockaddr_in.self)
            family = .ipv4
            high = UInt64(raw.sin_addr.s_addr)
            low = 0
            port = UInt16(bigEndian: raw.sin_port)
            scopeID = 0
        case AF_INET6:
            let raw = UnsafeRawPointer(address).loadUnaligned(as: sockaddr_in6.self)
            family = .ipv6
            (high, low) = unsafeBitCast(raw.sin6_addr, to: (UInt64, UInt64).self)
            port = UInt16(bigEndian: raw.sin6_port)
            scopeID = raw.sin6_scope_id
        default:
            return nil
        }
    }

    /// Parses a literal such as `127.0.0.1` or `::1` (no brackets, no names).
    package init?(literal: String, port: UInt16) {
        var four = in_addr()
        var six = in6_addr()
        if inet_pton(AF_INET, literal, &four) == 1 {
            family = .ipv4
            high = UInt64(four.s_addr)
            low = 0
        } else if inet_pton(AF_INET6, literal, &six) == 1 {
            family = .ipv6
            (high, low) = unsafeBitCast(six, to: (UInt64, UInt64).self)
        } else {
            return nil
        }
        self.port = port
        scopeID = 0
    }

    /// Calls `body` with the address as the socket interface wants it; the pointer lives for the call.
    package func withSockAddr<Result>(_ body: (UnsafePointer<sockaddr>, socklen_t) throws -> Result) rethrows -> Result
    {
        switch family {
        case .ipv4:
            var raw = sockaddr_in()
            raw.sin_family = sa_family_t(AF_INET)
            raw.sin_addr.s_addr = UInt32(truncatingIfNeeded: high)
            raw.sin_port = port.bigEndian
            return try Self.rebound(&raw, body)
        case .ipv6:
            var raw = sockaddr_in6()
            raw.sin6_family = sa_family_t(AF_INET6)
            raw.sin6_addr = unsafeBitCast((high, low), to: in6_addr.self)
            raw.sin6_port = port.bigEndian
            raw.sin6_scope_id = scopeID
            return try Self.rebound(&raw, body)
        }
    }

    private static func rebound<Raw, Result>(
        _ raw: inout Raw,
        _ body: (UnsafePointer<sockaddr>, socklen_t) throws -> Result
    ) rethrows -> Result {
        let length = socklen_t(MemoryLayout<Raw>.size)
        return try withUnsafePointer(to: &raw) { pointer in
            try pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { try body($0, length) }
        }
    }

    /// The address without its port, e.g. `127.0.0.1` or `::1`.
    package var host: String {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(INET6_ADDRSTRLEN)) { buffer in
            // An IPv4 address lies in the low 32 bits, an IPv6 address fills both words: 16 bytes in memory.
            withUnsafeBytes(of: (high, low)) { bytes in
                let kind = family == .ipv4 ? AF_INET : AF_INET6
                guard inet_ntop(kind, bytes.baseAddress, buffer.baseAddress, socklen_t(INET6_ADDRSTRLEN)) != nil,
                    let text = buffer.baseAddress
                else { return "" }
                return String(cString: text)
            }
        }
    }
}

extension SocketAddress: CustomStringConvertible {
    /// `127.0.0.1:8443` or `[::1]:8443`.
    package var description: String {
        family == .ipv4 ? "\(host):\(port)" : "[\(host)]:\(port)"
    }
}
