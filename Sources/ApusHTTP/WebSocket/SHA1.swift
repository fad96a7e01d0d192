/// SHA-1 (RFC 3174), for the answer to a WebSocket key and for nothing else.
///
/// Collisions of SHA-1 can be made, which rules it out for signatures. Here it protects nothing: RFC 6455 §1.3 prescribes
/// it to prove that the server has read the request as a WebSocket's, over a public value and a constant. Whoever found a
/// collision could only make up another key with the same answer, which wins nothing.
struct SHA1 {
    private var state: (UInt32, UInt32, UInt32, UInt32, UInt32) = (
        0x6745_2301, 0xEFCD_AB89, 0x98BA_DCFE, 0x1032_5476, 0xC3D2_E1F0
    )

    /// The 20 bytes of a message's hash.
    static func hash(_ message: [UInt8]) -> [UInt8] {
        var hash = SHA1()
        let padded = padded(message)
        for start in stride(from: 0, to: padded.count, by: 64) {
            hash.add(block: padded[start..<start + 64])
        }
        let (a, b, c, d, e) = hash.state
        return [a, b, c, d, e].flatMap { bigEndianBytes(of: $0) }
    }

    /// The message, a one bit, zeros up to a whole number of blocks, and its length in bits (RFC 3174 §4).
    private static func padded(_ message: [UInt8]) -> [UInt8] {
        var padded = message + [0x80]
        padded += [UInt8](repeating: 0, count: (120 - padded.count % 64) % 64)
        return padded + bigEndianBytes(of: UInt64(message.count) &* 8)
    }

    private static func bigEndianBytes(of value: some FixedWidthInteger) -> [UInt8] {
        withUnsafeBytes(of: value.bigEndian) { Array($0) }
    }

    /// Adds 64 bytes (RFC 3174 §6.1).
    private mutating func add(block: ArraySlice<UInt8>) {
        let words = Self.schedule(block)
        var (a, b, c, d, e) = state
        for (round, word) in words.enumerated() {
            let (function, constant) = Self.step(round, b, c, d)
            let next = Self.rotated(a, by: 5) &+ function &+ e &+ constant &+ word
            (a, b, c, d, e) = (next, a, Self.rotated(b, by: 30), c, d)
        }
        state = (state.0 &+ a, state.1 &+ b, state.2 &+ c, state.3 &+ d, state.4 &+ e)
    }

    /// The 80 words that a block is spread to.
    private static func schedule(_ block: ArraySlice<UInt8>) -> [UInt32] {
        var words: [UInt32] = []
        words.reserveCapacity(80)
        for start in stride(from: block.startIndex, to: block.endIndex, by: 4) {
            words.append(block[start..<start + 4].reduce(0) { $0 << 8 | UInt32($1) })
        }
        for index in 16..<80 {
            words.append(rotated(words[index - 3] ^ words[index - 8] ^ words[index - 14] ^ words[index - 16], by: 1))
        }
        return words
    }

    /// The function and the constant of a round (RFC 3174 §5).
    private static func step(_ round: Int, _ b: UInt32, _ c: UInt32, _ d: UInt32) -> (UInt32, UInt32) {
        switch round {
        case ..<20: (b & c | ~b & d, 0x5A82_7999)
        case ..<40: (b ^ c ^ d, 0x6ED9_EBA1)
        case ..<60: (b & c | b & d | c & d, 0x8F1B_BCDC)
        default: (b ^ c ^ d, 0xCA62_C1D6)
        }
    }

    private static func rotated(_ word: UInt32, by count: UInt32) -> UInt32 {
        word << count | word >> (32 - count)
    }
}
