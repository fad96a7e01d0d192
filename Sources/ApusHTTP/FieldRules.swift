import ApusGateway

/// What field names and values may be made of, on every version (RFC 9110 §5.1, §5.5).
package enum FieldRules {
    /// Whether every byte is a `tchar` and there is at least one (RFC 9110 §5.6.2).
    package static func isToken(_ bytes: UnsafeRawBufferPointer) -> Bool {
        bytes.count > 0 && bytes.allSatisfy { isTokenCharacter($0) }
    }

    /// Whether a byte is a `tchar` (RFC 9110 §5.6.2).
    @inlinable
    package static func isTokenCharacter(_ byte: UInt8) -> Bool {
        // One bit for each of the 128 ASCII characters: "!#$%&'*+-.^_`|~", digits and letters.
        let low: UInt64 = 0x03FF_6CFA_0000_0000
        let high: UInt64 = 0x57FF_FFFF_C7FF_FFFE
        if byte < 64 { return low >> UInt64(byte) & 1 == 1 }
        return byte < 128 && high >> UInt64(byte - 64) & 1 == 1
    }

    /// Whether no byte is a control character but for the tab (RFC 9110 §5.5).
    package static func isValue(_ bytes: UnsafeRawBufferPointer) -> Bool {
        bytes.allSatisfy { isValueCharacter($0) }
    }

    @inlinable
    package static func isValueCharacter(_ byte: UInt8) -> Bool {
        byte >= 0x20 ? byte != 0x7F : byte == 0x09
    }

    /// Whether a field belongs to one hop and has no place on HTTP/2 or HTTP/3 (RFC 9113 §8.2.2, RFC 9114 §4.2).
    package static func isConnectionSpecific(_ name: UnsafeRawBufferPointer) -> Bool {
        switch name.count {
        case 7: equals(name, "upgrade")
        case 10: equals(name, "connection") || equals(name, "keep-alive")
        case 16: equals(name, "proxy-connection")
        case 17: equals(name, "transfer-encoding")
        default: false
        }
    }

    /// Whether a name is this one, but for ASCII case.
    package static func equals(_ name: UnsafeRawBufferPointer, _ wanted: StaticString) -> Bool {
        asciiCaseInsensitiveEqual(
            name,
            UnsafeRawBufferPointer(start: wanted.utf8Start, count: wanted.utf8CodeUnitCount)
        )
    }

    /// Reads `1*DIGIT`; nil for anything else and for what does not fit (RFC 9110 §8.6).
    package static func decimal(_ bytes: UnsafeRawBufferPointer) -> Int? {
        guard bytes.count > 0 else { return nil }
        var value = 0
        for byte in bytes {
            guard byte &- UInt8(ascii: "0") < 10 else { return nil }
            let (product, tooLarge) = value.multipliedReportingOverflow(by: 10)
            let (sum, overflow) = product.addingReportingOverflow(Int(byte &- UInt8(ascii: "0")))
            guard !tooLarge, !overflow else { return nil }
            value = sum
        }
        return value
    }

    /// Whether a comma-separated list has this token, but for ASCII case; parameters behind a `;` are passed over.
    package static func list(_ value: UnsafeRawBufferPointer, contains token: StaticString) -> Bool {
        var found = false
        forEachListMember(value) { member in
            let end = member.firstIndex(of: UInt8(ascii: ";")) ?? member.count
            found = found || equals(trimmed(UnsafeRawBufferPointer(rebasing: member[..<end])), token)
        }
        return found
    }

    /// Calls `body` with each member of a comma-separated list, without the white space around it.
    package static func forEachListMember(_ value: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer) -> Void) {
        var start = 0
        while start < value.count {
            let end = value[start...].firstIndex(of: UInt8(ascii: ",")) ?? value.count
            let member = trimmed(UnsafeRawBufferPointer(rebasing: value[start..<end]))
            if member.count > 0 { body(member) }
            start = end + 1
        }
    }

    /// The bytes without spaces and tabs at both ends (RFC 9110 §5.6.3).
    package static func trimmed(_ bytes: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        var start = 0
        var end = bytes.count
        while start < end, bytes[start] == 0x20 || bytes[start] == 0x09 { start += 1 }
        while end > start, bytes[end - 1] == 0x20 || bytes[end - 1] == 0x09 { end -= 1 }
        return UnsafeRawBufferPointer(rebasing: bytes[start..<end])
    }
}
