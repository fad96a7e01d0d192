import Apus

extension Setting {
    /// An origin as browsers write it (RFC 6454 §6.2): in lower case, without the scheme's own port.
    func origin() throws(ConfigurationError) -> String {
        let origin = text.lowercased()
        guard let separator = origin.firstRange(of: "://") else { throw noOrigin() }
        let scheme = origin[..<separator.lowerBound]
        let (host, port) = Self.split(authority: origin[separator.upperBound...])
        guard Self.isScheme(scheme), Self.isHost(host) else { throw noOrigin() }
        guard let port else { return origin }
        guard let number = Int(port), port.allSatisfy(\.isASCIIDigit), (1...65535).contains(number) else {
            throw noOrigin()
        }
        let isDefault = scheme == "http" && number == 80 || scheme == "https" && number == 443
        return "\(scheme)://\(host)" + (isDefault ? "" : ":\(number)")
    }

    private func noOrigin() -> ConfigurationError {
        error("'\(text)' is not an origin such as https://example.org")
    }

    /// At the colon before the port; the ones within brackets belong to an IPv6 address.
    private static func split(authority: Substring) -> (host: Substring, port: Substring?) {
        guard let colon = authority.lastIndex(of: ":"), !authority[colon...].contains("]") else {
            return (authority, nil)
        }
        return (authority[..<colon], authority[authority.index(after: colon)...])
    }

    /// RFC 3986 §3.1.
    private static func isScheme(_ scheme: Substring) -> Bool {
        scheme.first?.isASCIILetter == true
            && scheme.allSatisfy { $0.isASCIILetter || $0.isASCIIDigit || "+-.".contains($0) }
    }

    /// A name, in ASCII as browsers write it (RFC 5890), or an address.
    private static func isHost(_ host: Substring) -> Bool {
        if host.hasPrefix("["), host.hasSuffix("]"), host.count > 2 {
            return host.dropFirst().dropLast().allSatisfy { $0.isHexDigit && $0.isASCII || ":.".contains($0) }
        }
        return !host.isEmpty && host.allSatisfy { $0.isASCIILetter || $0.isASCIIDigit || "-._".contains($0) }
    }
}

extension Character {
    fileprivate var isASCIILetter: Bool { ("a"..."z").contains(self) && isASCII }
    fileprivate var isASCIIDigit: Bool { ("0"..."9").contains(self) && isASCII }
}
