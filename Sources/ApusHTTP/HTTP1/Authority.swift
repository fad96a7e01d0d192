/// The host and port of a request (RFC 3986 §3.2, RFC 9110 §7.2).
enum Authority {
    /// Whether the bytes are `uri-host [ ":" port ]` with a host that is not empty; there is no user information.
    static func isValid(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard let first = bytes.first else { return false }
        var index = 0
        if first == UInt8(ascii: "[") {
            guard let end = endOfLiteral(bytes) else { return false }
            index = end
        } else {
            while index < bytes.count, bytes[index] != UInt8(ascii: ":") {
                guard isHostCharacter(bytes, at: index) else { return false }
                index += 1
            }
            guard index > 0 else { return false }
        }
        guard index < bytes.count else { return true }
        return bytes[index] == UInt8(ascii: ":") && isPort(UnsafeRawBufferPointer(rebasing: bytes[(index + 1)...]))
    }

    /// The offset behind the bracket that closes an IPv6 literal.
    private static func endOfLiteral(_ bytes: UnsafeRawBufferPointer) -> Int? {
        var index = 1
        while index < bytes.count, bytes[index] != UInt8(ascii: "]") {
            guard isHexDigit(bytes[index]) || bytes[index] == UInt8(ascii: ":") || bytes[index] == UInt8(ascii: ".")
            else { return nil }
            index += 1
        }
        return index < bytes.count && index > 2 ? index + 1 : nil
    }

    /// Whether the byte belongs to a `reg-name`; a `%` needs its two digits.
    private static func isHostCharacter(_ bytes: UnsafeRawBufferPointer, at index: Int) -> Bool {
        switch bytes[index] {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        case UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "~"), UInt8(ascii: "!"),
            UInt8(ascii: "$"), UInt8(ascii: "&"), UInt8(ascii: "'"), UInt8(ascii: "("), UInt8(ascii: ")"),
            UInt8(ascii: "*"), UInt8(ascii: "+"), UInt8(ascii: ","), UInt8(ascii: ";"), UInt8(ascii: "="):
            true
        case UInt8(ascii: "%"):
            index + 2 < bytes.count && isHexDigit(bytes[index + 1]) && isHexDigit(bytes[index + 2])
        default:
            false
        }
    }

    /// Whether the bytes are a port number, or nothing (RFC 3986 §3.2.3).
    private static func isPort(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard bytes.count > 0 else { return true }
        guard let port = FieldRules.decimal(bytes) else { return false }
        return port <= 65535
    }

    private static func isHexDigit(_ byte: UInt8) -> Bool {
        byte &- UInt8(ascii: "0") < 10 || (byte | 0x20) &- UInt8(ascii: "a") < 6
    }
}
