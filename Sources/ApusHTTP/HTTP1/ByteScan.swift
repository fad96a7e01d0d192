/// Searches eight bytes at a time through text that is mostly free of what they look for.
///
/// All of them look at `start ..< end` only and return `end` where nothing is found.
enum ByteScan {
    private static let ones: UInt64 = 0x0101_0101_0101_0101
    private static let highBits: UInt64 = 0x8080_8080_8080_8080

    /// The first control character: below the space, or DEL.
    static func firstControl(_ bytes: UnsafeRawPointer, from start: Int, to end: Int) -> Int {
        var index = start
        while end - index >= 8 {
            // `index + 8 <= end`: the load stays inside.
            let word = bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self)
            guard below(word, 0x20) | equal(word, 0x7F) == 0 else { break }
            index += 8
        }
        while index < end, isVisibleOrSpace(bytes.load(fromByteOffset: index, as: UInt8.self)) { index += 1 }
        return index
    }

    /// The first byte that a request target cannot have: a control character, the space, DEL or `#`.
    static func firstOutsideTarget(_ bytes: UnsafeRawPointer, from start: Int, to end: Int) -> Int {
        var index = start
        while end - index >= 8 {
            // As above.
            let word = bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self)
            guard below(word, 0x21) | equal(word, 0x7F) | equal(word, UInt64(UInt8(ascii: "#"))) == 0 else { break }
            index += 8
        }
        while index < end, isTargetCharacter(bytes.load(fromByteOffset: index, as: UInt8.self)) { index += 1 }
        return index
    }

    private static func isVisibleOrSpace(_ byte: UInt8) -> Bool {
        byte >= 0x20 && byte != 0x7F
    }

    private static func isTargetCharacter(_ byte: UInt8) -> Bool {
        byte > 0x20 && byte != 0x7F && byte != UInt8(ascii: "#")
    }

    /// Not zero where a byte of `word` is below `limit` (at most 128).
    private static func below(_ word: UInt64, _ limit: UInt64) -> UInt64 {
        (word &- ones &* limit) & ~word & highBits
    }

    /// Not zero where a byte of `word` is `value`.
    private static func equal(_ word: UInt64, _ value: UInt64) -> UInt64 {
        below(word ^ (ones &* value), 1)
    }
}
