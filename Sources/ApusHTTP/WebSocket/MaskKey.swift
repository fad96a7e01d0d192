/// The key that a client has masked a payload with (RFC 6455 §5.3), turned so that its first byte is the next to be used.
struct MaskKey {
    /// In memory order: the byte at the lowest address applies to the next byte of the payload.
    private var word: UInt32

    /// - Parameter word: The four bytes of the key as they lie in memory.
    init(_ word: UInt32) {
        self.word = word
    }

    /// Unmasks `source` into `target`, and turns the key to what follows.
    ///
    /// The two may not overlap, and `target` has room for all of `source`; neither needs an alignment.
    mutating func unmask(_ source: UnsafeRawBufferPointer, into target: UnsafeMutableRawPointer) {
        guard let base = source.baseAddress else { return }
        let count = source.count
        let wide = SIMD8<UInt32>(repeating: word)
        var offset = 0
        // Every access is below `count`: the loops end where less than their width is left.
        while offset &+ 32 <= count {
            let block = (base + offset).loadUnaligned(as: SIMD8<UInt32>.self)
            (target + offset).storeBytes(of: block ^ wide, as: SIMD8<UInt32>.self)
            offset &+= 32
        }
        while offset &+ 4 <= count {
            let block = (base + offset).loadUnaligned(as: UInt32.self)
            (target + offset).storeBytes(of: block ^ word, as: UInt32.self)
            offset &+= 4
        }
        while offset < count {
            let byte = base.load(fromByteOffset: offset, as: UInt8.self)
            target.storeBytes(of: byte ^ firstByte, toByteOffset: offset, as: UInt8.self)
            turn()
            offset &+= 1
        }
    }

    /// Turns the key past bytes that nobody needs.
    mutating func skip(_ count: Int) {
        for _ in 0..<count & 3 { turn() }
    }

    private var firstByte: UInt8 { UInt8(truncatingIfNeeded: UInt32(littleEndian: word)) }

    private mutating func turn() {
        let value = UInt32(littleEndian: word)
        word = UInt32(littleEndian: value >> 8 | value << 24)
    }
}
