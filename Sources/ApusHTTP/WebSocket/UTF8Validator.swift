/// Checks text that comes in pieces, and finds what is not UTF-8 at its first wrong byte (RFC 3629 §4).
struct UTF8Validator {
    /// Bytes that the character under way still needs.
    private var missing: UInt8 = 0
    /// The range of the next of them: narrower behind some first bytes, so that there are no overlong forms, no
    /// surrogates and nothing above U+10FFFF.
    private var lowest: UInt8 = 0x80
    private var highest: UInt8 = 0xBF
    /// Bytes of the character under way that have come: 0 to 3.
    private(set) var unfinished = 0

    /// Whether the text may end here.
    var isComplete: Bool { missing == 0 }

    /// Takes the next piece; false where the text cannot be UTF-8 any more, whatever follows.
    mutating func validate(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var offset = 0
        while offset < bytes.count {
            if missing == 0 {
                offset = Self.skipASCII(bytes, from: offset)
                offset = Self.skipShortCharacters(bytes, from: offset)
                guard offset < bytes.count else { break }
                guard begin(bytes[offset]) else { return false }
            } else {
                guard proceed(bytes[offset]) else { return false }
            }
            offset &+= 1
        }
        return true
    }

    /// The offset of the first byte at or behind `start` that is not ASCII.
    private static func skipASCII(_ bytes: UnsafeRawBufferPointer, from start: Int) -> Int {
        var offset = start
        // Every load is below `bytes.count`: the loops end where less than their width is left.
        while offset &+ 32 <= bytes.count {
            let block = bytes.loadUnaligned(fromByteOffset: offset, as: SIMD4<UInt64>.self)
            let bits = block[0] | block[1] | block[2] | block[3]
            guard bits & 0x8080_8080_8080_8080 == 0 else { break }
            offset &+= 32
        }
        while offset &+ 8 <= bytes.count {
            let block = bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
            guard block & 0x8080_8080_8080_8080 == 0 else { break }
            offset &+= 8
        }
        while offset < bytes.count, bytes[offset] < 0x80 { offset &+= 1 }
        return offset
    }

    /// The offset behind characters of two and three bytes in a row that are whole and of the plain kinds; what stops it
    /// is judged byte by byte.
    private static func skipShortCharacters(_ bytes: UnsafeRawBufferPointer, from start: Int) -> Int {
        var offset = start
        while offset &+ 3 <= bytes.count {
            let (first, second, third) = (bytes[offset], bytes[offset &+ 1], bytes[offset &+ 2])
            guard second & 0xC0 == 0x80 else { break }
            switch first {
            case 0xE1...0xEC where third & 0xC0 == 0x80: offset &+= 3
            case 0xC2...0xDF: offset &+= 2
            default: return offset
            }
        }
        return offset
    }

    /// The first byte of a character, of any kind.
    private mutating func begin(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x00...0x7F: break
        case 0xC2...0xDF: expect(1, from: 0x80, to: 0xBF)
        case 0xE0: expect(2, from: 0xA0, to: 0xBF)
        case 0xED: expect(2, from: 0x80, to: 0x9F)
        case 0xE1...0xEF: expect(2, from: 0x80, to: 0xBF)
        case 0xF0: expect(3, from: 0x90, to: 0xBF)
        case 0xF1...0xF3: expect(3, from: 0x80, to: 0xBF)
        case 0xF4: expect(3, from: 0x80, to: 0x8F)
        default: return false
        }
        return true
    }

    private mutating func expect(_ count: UInt8, from lowest: UInt8, to highest: UInt8) {
        missing = count
        self.lowest = lowest
        self.highest = highest
        unfinished = 1
    }

    /// A further byte of the character under way.
    private mutating func proceed(_ byte: UInt8) -> Bool {
        guard byte >= lowest, byte <= highest else { return false }
        missing &-= 1
        lowest = 0x80
        highest = 0xBF
        unfinished = missing == 0 ? 0 : unfinished &+ 1
        return true
    }
}
