/// Takes the chunked transfer coding apart, byte by byte where it is framing and in one piece where it is data
/// (RFC 9112 §7.1). The trailers behind the last chunk are left to the connection.
struct ChunkedDecoder {
    /// What comes next in the coding.
    private enum State {
        /// The digits of a chunk's size; `count` of them so far.
        case size(count: Int)
        /// Behind a `;`: the name of an extension.
        case extensionName(isEmpty: Bool)
        /// Behind the `=` of an extension.
        case extensionValueStart
        case extensionValue
        case quoted
        case quotedPair
        /// Behind the closing quote.
        case extensionEnd
        /// The LF of the size line.
        case sizeLineFeed
        case data
        /// The CR and the LF behind the data.
        case dataReturn
        case dataLineFeed
    }

    enum Step {
        /// All the input is used up, but for nothing.
        case needsInput
        /// The next `count` bytes from the offset on are data; the caller skips them.
        case data(count: Int)
        /// The last chunk's size line is read; trailers follow.
        case lastChunk
    }

    /// Digits of a chunk size, leading zeros counted.
    private static let maxSizeDigits = 16

    private let maxExtensionsSize: Int
    private var state = State.size(count: 0)
    /// The chunk's size while it is read, then what is left of the chunk.
    private var remaining = 0
    /// The bytes of all extensions of this body so far.
    private var extensionsSize = 0

    init(maxExtensionsSize: Int) {
        self.maxExtensionsSize = maxExtensionsSize
    }

    /// Goes on from `offset`, which it moves behind the framing that it has read.
    mutating func next(_ bytes: UnsafeRawBufferPointer, _ offset: inout Int) throws(RequestRefusal) -> Step {
        while offset < bytes.count {
            if case .data = state {
                let count = min(remaining, bytes.count - offset)
                remaining -= count
                if remaining == 0 { state = .dataReturn }
                return .data(count: count)
            }
            let byte = bytes[offset]
            offset += 1
            if try take(byte) { return .lastChunk }
        }
        return .needsInput
    }

    /// Reads one byte of framing; true at the end of the last chunk's size line.
    private mutating func take(_ byte: UInt8) throws(RequestRefusal) -> Bool {
        switch state {
        case .size(let count): try takeSize(byte, count)
        case .sizeLineFeed:
            guard byte == UInt8(ascii: "\n") else { throw .malformed("a chunk size line with a bare CR") }
            guard remaining > 0 else { return true }
            state = .data
        case .dataReturn:
            guard byte == UInt8(ascii: "\r") else { throw .malformed("chunk data longer than its size") }
            state = .dataLineFeed
        case .dataLineFeed:
            guard byte == UInt8(ascii: "\n") else { throw .malformed("chunk data without a line end") }
            state = .size(count: 0)
            remaining = 0
        case .extensionName, .extensionValueStart, .extensionValue, .quoted, .quotedPair, .extensionEnd:
            extensionsSize += 1
            guard extensionsSize <= maxExtensionsSize else { throw .malformed("chunk extensions are too large") }
            try takeExtension(byte)
        case .data: break
        }
        return false
    }

    private mutating func takeSize(_ byte: UInt8, _ count: Int) throws(RequestRefusal) {
        if let digit = Self.hexDigit(byte) {
            guard count < Self.maxSizeDigits, remaining <= Int.max >> 4 else {
                throw .malformed("a chunk size that is too large")
            }
            remaining = remaining << 4 | digit
            state = .size(count: count + 1)
            return
        }
        guard count > 0 else { throw .malformed("a chunk without a size") }
        switch byte {
        case UInt8(ascii: "\r"): state = .sizeLineFeed
        case UInt8(ascii: ";"): state = .extensionName(isEmpty: true)
        default: throw .malformed("a chunk size that is not a number")
        }
    }

    /// RFC 9112 §7.1.1, without the white space that it has only for the sake of old senders.
    private mutating func takeExtension(_ byte: UInt8) throws(RequestRefusal) {
        switch (state, byte) {
        case (.extensionName, _) where FieldRules.isTokenCharacter(byte): state = .extensionName(isEmpty: false)
        case (.extensionName(isEmpty: false), UInt8(ascii: "=")): state = .extensionValueStart
        case (.extensionValueStart, UInt8(ascii: "\"")): state = .quoted
        case (.extensionValueStart, _) where FieldRules.isTokenCharacter(byte): state = .extensionValue
        case (.extensionValue, _) where FieldRules.isTokenCharacter(byte): break
        case (.quoted, UInt8(ascii: "\"")): state = .extensionEnd
        case (.quoted, UInt8(ascii: "\\")): state = .quotedPair
        case (.quoted, _) where FieldRules.isValueCharacter(byte): break
        case (.quotedPair, _) where FieldRules.isValueCharacter(byte): state = .quoted
        case (.extensionName(isEmpty: false), UInt8(ascii: ";")), (.extensionValue, UInt8(ascii: ";")),
            (.extensionEnd, UInt8(ascii: ";")):
            state = .extensionName(isEmpty: true)
        case (.extensionName(isEmpty: false), UInt8(ascii: "\r")), (.extensionValue, UInt8(ascii: "\r")),
            (.extensionEnd, UInt8(ascii: "\r")):
            state = .sizeLineFeed
        default: throw .malformed("a chunk extension that is not valid")
        }
    }

    private static func hexDigit(_ byte: UInt8) -> Int? {
        let digit = byte &- UInt8(ascii: "0")
        if digit < 10 { return Int(digit) }
        let letter = (byte | 0x20) &- UInt8(ascii: "a")
        return letter < 6 ? Int(letter) + 10 : nil
    }
}
