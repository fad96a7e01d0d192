import ApusGateway
import Glibc

/// Bytes on their way out, in order: small pieces gathered in one block, large ones by reference, files by descriptor.
///
/// A connection appends, a driver takes from the front as much as its socket accepts. An empty buffer holds no memory
/// beyond ``retainedCapacity``, and none after ``releaseMemory()``.
package struct OutputBuffer: ~Copyable {
    /// Pieces up to this size are copied into the block: cheaper than a vector element of their own.
    package static let inlineLimit = 1024
    /// What an empty buffer keeps of its block.
    package static let retainedCapacity = 2048

    private enum Segment {
        /// A range of the block.
        case inline(start: Int, count: Int)
        case bytes(Bytes)
        case file(FileRegion, offset: Int, count: Int)

        var count: Int {
            switch self {
            case .inline(_, let count): count
            case .bytes(let bytes): bytes.count
            case .file(_, _, let count): count
            }
        }
    }

    /// What a driver finds at the front.
    package enum Front {
        /// Nothing.
        case nothing
        /// Memory: use ``OutputBuffer/withVectors(limit:_:)``.
        case memory
        /// A file's bytes: `offset` within the file, `count` of them.
        case file(FileRegion, offset: Int, count: Int)
    }

    private var segments: [Segment] = []
    /// The first segment that is not yet taken.
    private var head = 0
    private var block: UnsafeMutableRawBufferPointer = UnsafeMutableRawBufferPointer(start: nil, count: 0)
    private var blockCount = 0
    /// Bytes that wait.
    package private(set) var count = 0

    package init() {}

    deinit {
        block.deallocate()
    }

    package var isEmpty: Bool { count == 0 }

    // MARK: Append

    /// Copies bytes to the end.
    package mutating func append(_ bytes: UnsafeRawBufferPointer) {
        withRoom(for: bytes.count) { room in
            room.copyMemory(from: bytes)
            return bytes.count
        }
    }

    /// Copies the bytes of an array to the end.
    package mutating func append(_ bytes: [UInt8]) {
        bytes.withUnsafeBytes { append($0) }
    }

    /// Copies the UTF-8 of a literal to the end.
    package mutating func append(literal text: StaticString) {
        append(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    /// Adds bytes at the end: a large piece by reference, a small one as a copy.
    package mutating func append(_ bytes: Bytes) {
        guard bytes.count > Self.inlineLimit else {
            append(bytes.memory)
            return
        }
        segments.append(.bytes(bytes))
        count += bytes.count
    }

    /// Adds the bytes of a file at the end.
    package mutating func append(_ file: FileRegion) {
        guard file.count > 0 else { return }
        segments.append(.file(file, offset: file.offset, count: file.count))
        count += file.count
    }

    /// Gives `fill` room for up to `capacity` bytes at the end; it returns how many it wrote.
    package mutating func withRoom(for capacity: Int, _ fill: (UnsafeMutableRawBufferPointer) -> Int) {
        reserve(capacity)
        let room = UnsafeMutableRawBufferPointer(rebasing: block[blockCount..<blockCount + capacity])
        let written = fill(room)
        precondition(written >= 0 && written <= capacity, "no more is written than there was room for")
        guard written > 0 else { return }
        if head < segments.count, case .inline(let start, let length) = segments[segments.count - 1] {
            // The last segment ends where the block ends: inline segments are only ever appended.
            segments[segments.count - 1] = .inline(start: start, count: length + written)
        } else {
            segments.append(.inline(start: blockCount, count: written))
        }
        blockCount += written
        count += written
    }

    /// What the block takes of memory.
    package var blockCapacity: Int { block.count }

    /// Makes room behind `blockCount`: a buffer that is never quite empty must not keep what was taken long ago.
    private mutating func reserve(_ capacity: Int) {
        guard block.count - blockCount < capacity else { return }
        let liveStart = firstInlineStart
        let needed = blockCount - liveStart + capacity
        if needed > block.count / 2 {
            let size = max(needed, block.count * 2, 512)
            let larger = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 16)
            larger.copyMemory(from: UnsafeRawBufferPointer(rebasing: block[liveStart..<blockCount]))
            block.deallocate()
            block = larger
        } else {
            // At least as much is free as is moved, so that moving costs no more than appending. copyMemory allows overlap.
            block.copyMemory(from: UnsafeRawBufferPointer(rebasing: block[liveStart..<blockCount]))
        }
        moveInlineSegments(by: liveStart)
    }

    /// Where the bytes that wait begin in the block.
    private var firstInlineStart: Int {
        for segment in segments[head...] {
            if case .inline(let start, _) = segment { return start }
        }
        return blockCount
    }

    private mutating func moveInlineSegments(by distance: Int) {
        guard distance > 0 else { return }
        blockCount -= distance
        for index in head..<segments.count {
            if case .inline(let start, let count) = segments[index] {
                segments[index] = .inline(start: start - distance, count: count)
            }
        }
    }

    /// Moves everything of another buffer to this one's end.
    package mutating func take(_ other: inout OutputBuffer) {
        if isEmpty {
            swap(&self, &other)
            return
        }
        for segment in other.segments[other.head...] {
            switch segment {
            case .inline(let start, let count):
                append(UnsafeRawBufferPointer(rebasing: other.block[start..<start + count]))
            case .bytes(let bytes):
                append(bytes)
            case .file(let file, let offset, let length):
                segments.append(.file(file, offset: offset, count: length))
                count += length
            }
        }
        other.removeAll()
    }

    /// Moves up to `limit` bytes from another buffer's front to this one's end.
    package mutating func take(_ other: inout OutputBuffer, atMost limit: Int) {
        guard other.count > limit else {
            take(&other)
            return
        }
        var left = limit
        while left > 0, other.head < other.segments.count {
            let segment = other.segments[other.head]
            let part = min(segment.count, left)
            switch segment {
            case .inline(let start, _):
                append(UnsafeRawBufferPointer(rebasing: other.block[start..<start + part]))
            case .bytes(let bytes):
                append(bytes[0..<part])
            case .file(let file, let offset, _):
                segments.append(.file(file, offset: offset, count: part))
                count += part
            }
            other.consume(part)
            left -= part
        }
    }

    // MARK: Take

    /// What is to be written next.
    package var front: Front {
        guard head < segments.count else { return .nothing }
        guard case .file(let file, let offset, let count) = segments[head] else { return .memory }
        return .file(file, offset: offset, count: count)
    }

    /// Calls `body` with the pieces of memory at the front, up to a file or `limit` of them; valid for the call.
    package func withVectors<Result>(
        limit: Int,
        _ body: (UnsafeBufferPointer<iovec>) -> Result
    ) -> Result {
        let most = min(limit, segments.count - head)
        if most == 1, case .inline(let start, let count) = segments[head] {
            // By far the most frequent: a whole small response.
            let vector = iovec(iov_base: block.baseAddress.map { $0 + start }, iov_len: count)
            return withUnsafePointer(to: vector) { body(UnsafeBufferPointer(start: $0, count: 1)) }
        }
        return withUnsafeTemporaryAllocation(of: iovec.self, capacity: max(most, 1)) { vectors in
            var filled = 0
            loop: for segment in segments[head..<head + most] {
                switch segment {
                case .inline(let start, let count):
                    vectors.initializeElement(
                        at: filled,
                        to: iovec(iov_base: block.baseAddress.map { $0 + start }, iov_len: count)
                    )
                case .bytes(let bytes):
                    // sendmsg only reads through the pointer, although iovec has it mutable.
                    vectors.initializeElement(
                        at: filled,
                        to: iovec(
                            iov_base: UnsafeMutableRawPointer(mutating: bytes.memory.baseAddress),
                            iov_len: bytes.count
                        )
                    )
                case .file:
                    break loop
                }
                filled += 1
            }
            return body(UnsafeBufferPointer(rebasing: vectors[0..<filled]))
        }
    }

    /// The bytes at the front where they are all in one piece of memory; nil otherwise. Valid until the next change.
    package var onlyPiece: UnsafeRawBufferPointer? {
        guard segments.count - head == 1 else { return nil }
        switch segments[head] {
        case .inline(let start, let count): return UnsafeRawBufferPointer(rebasing: block[start..<start + count])
        case .bytes(let bytes): return bytes.memory
        case .file: return nil
        }
    }

    /// Takes bytes off the front.
    ///
    /// - Precondition: `taken` is at most ``count``.
    package mutating func consume(_ taken: Int) {
        precondition(taken >= 0 && taken <= count, "no more is taken than there was")
        count -= taken
        if count == 0 {
            removeAll()
            return
        }
        var left = taken
        while left > 0 {
            let segment = segments[head]
            if segment.count <= left {
                left -= segment.count
                // Gives up the reference now, not when the array is cleared.
                segments[head] = .inline(start: 0, count: 0)
                head += 1
            } else {
                segments[head] = Self.dropping(left, from: segment)
                left = 0
            }
        }
        compactSegments()
    }

    private static func dropping(_ count: Int, from segment: Segment) -> Segment {
        switch segment {
        case .inline(let start, let length): .inline(start: start + count, count: length - count)
        case .bytes(let bytes): .bytes(bytes.dropFirst(count))
        case .file(let file, let offset, let length): .file(file, offset: offset + count, count: length - count)
        }
    }

    /// Forgets taken segments once they are the larger part, so that a long-lived buffer does not grow.
    private mutating func compactSegments() {
        guard head > 32, head * 2 > segments.count else { return }
        segments.removeFirst(head)
        head = 0
    }

    /// Drops everything that waits.
    package mutating func removeAll() {
        segments.removeAll(keepingCapacity: segments.capacity <= 16)
        head = 0
        count = 0
        blockCount = 0
        if block.count > Self.retainedCapacity {
            block.deallocate()
            block = UnsafeMutableRawBufferPointer(start: nil, count: 0)
        }
    }

    /// Gives back what an empty buffer has kept; the buffer can be used as before.
    package mutating func releaseMemory() {
        guard isEmpty, block.count > 0 || segments.capacity > 0 else { return }
        self = OutputBuffer()
    }
}
