/// The streams of a connection by their IDs, and the memory that they live in.
///
/// A hash table with open addressing over pointers: a look-up is a multiplication and a comparison or two.
struct HTTP3StreamTable {
    typealias Ref = UnsafeMutablePointer<HTTP3Stream>

    private var slots: [Ref?] = Array(repeating: nil, count: 16)
    private var pool: [Ref] = []
    /// The number of streams.
    private(set) var count = 0

    /// The stream with this ID.
    subscript(id: Int64) -> Ref? {
        var index = home(id)
        while let stream = slots[index] {
            if stream.pointee.id == id { return stream }
            index = (index + 1) & (slots.count - 1)
        }
        return nil
    }

    /// Makes a stream.
    mutating func open(_ id: Int64) -> Ref {
        if (count + 1) * 2 > slots.count { grow() }
        let stream = pool.popLast() ?? Self.allocate()
        stream.pointee.id = id
        insert(stream)
        count += 1
        return stream
    }

    /// Removes a stream; its pointer must not be used afterwards.
    mutating func release(_ stream: Ref) {
        var hole = home(stream.pointee.id)
        while slots[hole] != stream {
            guard slots[hole] != nil else { return }
            hole = (hole + 1) & (slots.count - 1)
        }
        slots[hole] = nil
        count -= 1
        closeGap(hole)
        if pool.count < HTTP3Constants.pooledStreams {
            stream.pointee.clear()
            pool.append(stream)
        } else {
            Self.free(stream)
        }
    }

    /// All streams, in no order.
    var all: [Ref] { slots.compactMap { $0 } }

    /// Frees all memory; the table is not used afterwards.
    mutating func deallocate() {
        for stream in all { Self.free(stream) }
        for stream in pool { Self.free(stream) }
        slots = []
        pool = []
        count = 0
    }

    private func home(_ id: Int64) -> Int {
        // Fibonacci hashing of the stream's ordinal: consecutive and strided IDs spread alike.
        let mixed = UInt64(bitPattern: id >> 2) &* 0x9E37_79B9_7F4A_7C15
        return Int(mixed >> 40) & (slots.count - 1)
    }

    private mutating func insert(_ stream: Ref) {
        var index = home(stream.pointee.id)
        while slots[index] != nil { index = (index + 1) & (slots.count - 1) }
        slots[index] = stream
    }

    private mutating func grow() {
        let streams = all
        slots = Array(repeating: nil, count: slots.count * 2)
        for stream in streams { insert(stream) }
    }

    /// Moves the streams behind a hole that would not be found across it.
    private mutating func closeGap(_ start: Int) {
        let mask = slots.count - 1
        var hole = start
        var index = (hole + 1) & mask
        while let stream = slots[index] {
            let distance = (index - home(stream.pointee.id)) & mask
            if distance >= (index - hole) & mask {
                slots[hole] = stream
                slots[index] = nil
                hole = index
            }
            index = (index + 1) & mask
        }
    }

    private static func allocate() -> Ref {
        let stream = Ref.allocate(capacity: 1)
        stream.initialize(to: HTTP3Stream())
        return stream
    }

    private static func free(_ stream: Ref) {
        stream.deinitialize(count: 1)
        stream.deallocate()
    }
}
