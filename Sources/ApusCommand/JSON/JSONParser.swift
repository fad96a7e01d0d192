/// Reads one JSON text (RFC 8259) as it comes from strangers: nested so deep and no deeper.
///
/// Numbers are whole ones that fit an `Int`; nothing here has a use for others, and they are refused.
package struct JSONParser {
    /// How deep arrays and objects may be nested; each level is a call on the stack.
    static let maxDepth = 16

    /// The text, which is UTF-8 since a string cannot be anything else.
    private let bytes: [UInt8]
    private var index = 0

    private init(_ text: String) {
        bytes = Array(text.utf8)
    }

    /// The value that is the whole of a text; nil where it is none.
    package static func parse(_ text: String) -> JSONValue? {
        var parser = JSONParser(text)
        guard let value = parser.value(depth: 0) else { return nil }
        return parser.next() == nil ? value : nil
    }

    // MARK: - Values

    private mutating func value(depth: Int) -> JSONValue? {
        guard let byte = next() else { return nil }
        switch byte {
        case UInt8(ascii: "{"): return object(depth: depth + 1)
        case UInt8(ascii: "["): return array(depth: depth + 1)
        case UInt8(ascii: "\""): return string().map { .string($0) }
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return number()
        case UInt8(ascii: "n"): return take("null") ? .null : nil
        case UInt8(ascii: "t"): return take("true") ? .bool(true) : nil
        case UInt8(ascii: "f"): return take("false") ? .bool(false) : nil
        default: return nil
        }
    }

    private mutating func object(depth: Int) -> JSONValue? {
        guard depth <= Self.maxDepth else { return nil }
        index += 1
        var members: [(String, JSONValue)] = []
        if takeNext(UInt8(ascii: "}")) { return .object(members) }
        repeat {
            guard next() == UInt8(ascii: "\""), let name = string(), takeNext(UInt8(ascii: ":")),
                let value = value(depth: depth)
            else { return nil }
            members.append((name, value))
        } while takeNext(UInt8(ascii: ","))
        return takeNext(UInt8(ascii: "}")) ? .object(members) : nil
    }

    private mutating func array(depth: Int) -> JSONValue? {
        guard depth <= Self.maxDepth else { return nil }
        index += 1
        var values: [JSONValue] = []
        if takeNext(UInt8(ascii: "]")) { return .array(values) }
        repeat {
            guard let value = value(depth: depth) else { return nil }
            values.append(value)
        } while takeNext(UInt8(ascii: ","))
        return takeNext(UInt8(ascii: "]")) ? .array(values) : nil
    }

    /// RFC 8259 §6: no zero leads other digits.
    private mutating func number() -> JSONValue? {
        let start = index
        if current == UInt8(ascii: "-") { index += 1 }
        let firstDigit = index
        while let byte = current, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) { index += 1 }
        let isLedByZero = index - firstDigit > 1 && bytes[firstDigit] == UInt8(ascii: "0")
        guard !isLedByZero, !".eE".utf8.contains(current ?? 0) else { return nil }
        return Int(String(decoding: bytes[start..<index], as: UTF8.self)).map { .number($0) }
    }

    // MARK: - Strings

    /// RFC 8259 §7: from the quotation mark at the index to the next one that is not escaped.
    private mutating func string() -> String? {
        index += 1
        var text: [UInt8] = []
        while let byte = current {
            index += 1
            switch byte {
            case UInt8(ascii: "\""): return String(decoding: text, as: UTF8.self)
            case UInt8(ascii: "\\"):
                guard let scalar = escaped() else { return nil }
                text.append(contentsOf: String(scalar).utf8)
            case 0..<0x20: return nil
            default: text.append(byte)
            }
        }
        return nil
    }

    /// The character behind a backslash.
    private mutating func escaped() -> Unicode.Scalar? {
        guard let byte = current else { return nil }
        index += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return Unicode.Scalar(byte)
        case UInt8(ascii: "b"): return "\u{8}"
        case UInt8(ascii: "f"): return "\u{C}"
        case UInt8(ascii: "n"): return "\n"
        case UInt8(ascii: "r"): return "\r"
        case UInt8(ascii: "t"): return "\t"
        case UInt8(ascii: "u"): return escapedByNumber()
        default: return nil
        }
    }

    /// One `XXXX`, or two of a surrogate pair; half a pair is no character and refused.
    private mutating func escapedByNumber() -> Unicode.Scalar? {
        guard let unit = hexadecimal() else { return nil }
        guard UTF16.isLeadSurrogate(unit) else { return Unicode.Scalar(unit) }
        guard take("\\u"), let trail = hexadecimal(), UTF16.isTrailSurrogate(trail) else { return nil }
        return Unicode.Scalar(0x10000 + (UInt32(unit) - 0xD800) << 10 + (UInt32(trail) - 0xDC00))
    }

    private mutating func hexadecimal() -> UInt16? {
        guard index + 4 <= bytes.count else { return nil }
        var unit: UInt16 = 0
        for byte in bytes[index..<index + 4] {
            guard let digit = Character(Unicode.Scalar(byte)).hexDigitValue else { return nil }
            unit = unit << 4 | UInt16(digit)
        }
        index += 4
        return unit
    }

    // MARK: - Bytes

    private var current: UInt8? { index < bytes.count ? bytes[index] : nil }

    /// The byte behind the white space, which is left where it is.
    private mutating func next() -> UInt8? {
        while let byte = current, " \t\r\n".utf8.contains(byte) { index += 1 }
        return current
    }

    /// Takes a byte behind white space, if it is there.
    private mutating func takeNext(_ byte: UInt8) -> Bool {
        guard next() == byte else { return false }
        index += 1
        return true
    }

    /// Takes a word, if it is there.
    private mutating func take(_ word: String) -> Bool {
        guard bytes[index...].starts(with: word.utf8) else { return false }
        index += word.utf8.count
        return true
    }
}
