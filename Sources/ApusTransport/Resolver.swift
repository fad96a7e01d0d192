import ApusHTTP
import CApusShims
import Glibc

/// A text that does not name an address to listen on.
package struct ResolveError: Error, Hashable, Sendable, CustomStringConvertible {
    package let description: String
}

extension SocketAddress {
    /// The addresses to listen on for `host:port`, `[v6]:port` or `:port`. Names are looked up, which may
    /// block: for the start of a program, not for a loop. `localhost` is both loopback addresses; an
    /// empty host every address (as `::`, which takes IPv4 too on TCP, where the system has IPv6).
    package static func resolve(_ text: String) throws(ResolveError) -> [SocketAddress] {
        guard let (host, port) = split(text) else {
            throw ResolveError(description: "'\(text)' is not HOST:PORT with a port from 0 to 65535")
        }
        switch host {
        case "": return [SocketAddress(literal: hasIPv6 ? "::" : "0.0.0.0", port: port)].compactMap(\.self)
        case "localhost": return ["127.0.0.1", "::1"].compactMap { SocketAddress(literal: $0, port: port) }
        default: return try look(up: host, port: port)
        }
    }

    /// Where datagram sockets have to be bound to serve what a stream listener at this address serves:
    /// `::` needs one for each family, because a datagram socket takes only its own.
    package var datagramAddresses: [SocketAddress] {
        guard family == .ipv6, host == "::", let any = SocketAddress(literal: "0.0.0.0", port: port) else {
            return [self]
        }
        return [self, any]
    }

    private static var hasIPv6: Bool {
        let descriptor = socket(AF_INET6, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return false }
        close(descriptor)
        return true
    }

    private static func split(_ text: String) -> (host: String, port: UInt16)? {
        guard let colon = text.lastIndex(of: ":") else { return nil }
        let digits = text[text.index(after: colon)...]
        guard digits.utf8.allSatisfy({ (48...57).contains($0) }), let port = UInt16(digits) else { return nil }
        let host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") { return (String(host.dropFirst().dropLast()), port) }
        // More colons without brackets: an IPv6 address whose port cannot be told from it.
        return host.contains(":") ? nil : (String(host), port)
    }

    private static func look(up host: String, port: UInt16) throws(ResolveError) -> [SocketAddress] {
        var hints = addrinfo()
        hints.ai_flags = AI_PASSIVE
        hints.ai_family = AF_UNSPEC
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(host, String(port), &hints, &list)
        guard code == 0 else {
            throw ResolveError(description: "cannot resolve '\(host)': \(String(cString: gai_strerror(code)))")
        }
        defer { freeaddrinfo(list) }
        var addresses: [SocketAddress] = []
        var next = list
        while let entry = next {
            if let raw = entry.pointee.ai_addr, let address = SocketAddress(raw), !addresses.contains(address) {
                addresses.append(address)
            }
            next = entry.pointee.ai_next
        }
        return addresses
    }
}
