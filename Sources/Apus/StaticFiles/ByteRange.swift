/// One range of bytes that a client asks for (RFC 9110 §14.1.2).
enum ByteRange: Equatable {
    case satisfiable(Range<Int>)
    case unsatisfiable

    /// Reads a `range` field.
    ///
    /// - Returns: nil where the field is to be ignored and the whole is sent: another unit, what is not a range, and
    ///   more than one range (RFC 9110 §14.2 leaves that to the server; one part says it as well as many).
    init?(_ value: String, of size: Int) {
        let value = value.utf8
        guard let equals = value.firstIndex(of: UInt8(ascii: "=")),
            String(Substring(value[..<equals])).lowercased() == "bytes"
        else { return nil }
        let spec = value[value.index(after: equals)...].trimmed
        guard !spec.contains(UInt8(ascii: ",")), let dash = spec.firstIndex(of: UInt8(ascii: "-")) else { return nil }
        let first = spec[..<dash]
        let last = spec[spec.index(after: dash)...]
        if first.isEmpty {
            guard let length = Self.position(last) else { return nil }
            self.init(suffix: length, of: size)
        } else {
            guard let first = Self.position(first) else { return nil }
            guard let last = last.isEmpty ? Int.max : Self.position(last), first <= last else { return nil }
            self = first < size ? .satisfiable(first..<min(last, size - 1) + 1) : .unsatisfiable
        }
    }

    /// The last bytes. No bytes cannot be had; the last of nothing cannot be written as a content-range, so that the
    /// whole, which is as empty, is sent.
    private init?(suffix length: Int, of size: Int) {
        if length == 0 {
            self = .unsatisfiable
        } else if size == 0 {
            return nil
        } else {
            self = .satisfiable(max(0, size - length)..<size)
        }
    }

    /// Reads `1*DIGIT`; what is too large for a number is past the end of any file all the same.
    private static func position(_ digits: Substring.UTF8View) -> Int? {
        guard !digits.isEmpty, digits.allSatisfy({ $0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9") }) else {
            return nil
        }
        return Int(Substring(digits)) ?? Int.max
    }
}

extension Substring.UTF8View {
    /// Without spaces and tabs at both ends.
    fileprivate var trimmed: Substring.UTF8View {
        var text = drop { $0 == 0x20 || $0 == 0x09 }
        while let last = text.last, last == 0x20 || last == 0x09 { text = text.dropLast() }
        return text
    }
}
