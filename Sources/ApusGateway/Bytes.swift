/// An immutable, reference-counted slice of bytes that stay where they are.
///
/// A body in a `Bytes` is not copied on its way to the encryption: HTTP/3 keeps it until the client has acknowledged it,
/// HTTP/1 and HTTP/2 until it is written. Slicing shares the memory.
public struct Bytes: @unchecked Sendable {
    /// Keeps `start ..< start + count` alive and unchanged; nil for memory that lives as long as the process.
    @usableFromInline let owner: AnyObject?
    /// The first byte; meaningless where `count` is 0.
    @usableFromInline let start: UnsafePointer<UInt8>
    /// The number of bytes.
    public let count: Int

    // The owner is only ever retained and released, and the memory behind `start` never changes: sharing is safe,
    // although `AnyObject` and the pointer are not Sendable by themselves.
    @usableFromInline
    init(owner: AnyObject?, start: UnsafePointer<UInt8>, count: Int) {
        self.owner = owner
        self.start = start
        self.count = count
    }

    /// No bytes at all.
    public init() {
        self.init(owner: nil, start: Self.noBytes, count: 0)
    }

    /// Slices memory that `owner` keeps alive, unchanged and in its place.
    package init(owner: AnyObject, memory: UnsafeRawBufferPointer) {
        guard let base = memory.baseAddress, memory.count > 0 else {
            self.init()
            return
        }
        self.init(owner: owner, start: base.assumingMemoryBound(to: UInt8.self), count: memory.count)
    }

    /// Copies `count` bytes that `fill` writes into fresh memory.
    ///
    /// - Parameter fill: Writes all of the buffer's bytes.
    public init(count: Int, filledBy fill: (UnsafeMutableRawBufferPointer) throws -> Void) rethrows {
        guard count > 0 else {
            self.init()
            return
        }
        let storage = BytesStorage.make(count: count)
        let start = storage.withUnsafeMutablePointerToElements { $0 }
        try fill(UnsafeMutableRawBufferPointer(start: start, count: count))
        self.init(owner: storage, start: UnsafePointer(start), count: count)
    }

    /// Copies the bytes of a buffer.
    public init(copying buffer: UnsafeRawBufferPointer) {
        self.init(count: buffer.count) { $0.copyMemory(from: buffer) }
    }

    /// Copies the bytes of a sequence.
    public init(_ bytes: some Sequence<UInt8>) {
        let copied = bytes.withContiguousStorageIfAvailable { Bytes(copying: UnsafeRawBufferPointer($0)) }
        self = copied ?? Array(bytes).withUnsafeBytes { Bytes(copying: $0) }
    }

    /// Copies the UTF-8 of a string.
    public init(_ text: String) {
        var text = text
        self = text.withUTF8 { Bytes(copying: UnsafeRawBufferPointer($0)) }
    }

    /// Copies several pieces, `count` bytes in all, into one.
    package init(joining pieces: [Bytes], count: Int) {
        self.init(count: count) { target in
            var offset = 0
            for piece in pieces {
                piece.withUnsafeBytes { source in
                    UnsafeMutableRawBufferPointer(rebasing: target[offset...]).copyMemory(from: source)
                }
                offset += piece.count
            }
        }
    }

    public var isEmpty: Bool { count == 0 }

    /// Calls `body` with the bytes; the pointer is valid for the call.
    @inlinable
    public func withUnsafeBytes<Result, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        defer { withExtendedLifetime(owner) {} }
        return try body(UnsafeRawBufferPointer(start: start, count: count))
    }

    /// The bytes where they are, valid for as long as this value or a slice of it is kept.
    package var memory: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: start, count: count)
    }

    /// The bytes at these offsets, sharing the memory.
    ///
    /// - Precondition: `range` lies within `0 ..< count`.
    public subscript(range: Range<Int>) -> Bytes {
        precondition(range.lowerBound >= 0 && range.upperBound <= count, "a slice lies within its bytes")
        return Bytes(owner: owner, start: start + range.lowerBound, count: range.count)
    }

    /// All bytes from this offset on; none where `offset` is at or past the end.
    public func dropFirst(_ offset: Int) -> Bytes {
        self[Swift.min(Swift.max(offset, 0), count)..<count]
    }

    /// A byte that empty values point at, so that `start` is never null.
    private nonisolated(unsafe) static let noBytes: UnsafePointer<UInt8> = UnsafePointer(
        UnsafeMutablePointer<UInt8>.allocate(capacity: 1)
    )
}

/// The memory of copied bytes: one allocation for the object and its bytes.
final class BytesStorage: ManagedBuffer<Void, UInt8> {
    static func make(count: Int) -> ManagedBuffer<Void, UInt8> {
        create(minimumCapacity: count) { _ in () }
    }
}

extension Bytes: Equatable, Hashable {
    public static func == (left: Bytes, right: Bytes) -> Bool {
        left.count == right.count && left.withUnsafeBytes { a in right.withUnsafeBytes { a.elementsEqual($0) } }
    }

    public func hash(into hasher: inout Hasher) {
        withUnsafeBytes { hasher.combine(bytes: $0) }
    }
}

extension Bytes: RandomAccessCollection {
    public var startIndex: Int { 0 }
    public var endIndex: Int { count }

    public subscript(position: Int) -> UInt8 {
        precondition(position >= 0 && position < count, "an index lies within its bytes")
        return withUnsafeBytes { $0[position] }
    }

    public func withContiguousStorageIfAvailable<Result>(
        _ body: (UnsafeBufferPointer<UInt8>) throws -> Result
    ) rethrows -> Result? {
        try withUnsafeBytes { try body($0.assumingMemoryBound(to: UInt8.self)) }
    }
}

extension Bytes: ExpressibleByStringLiteral, ExpressibleByStringInterpolation {
    /// Copies the UTF-8 of a literal.
    public init(stringLiteral text: String) {
        self.init(text)
    }
}

extension Bytes: CustomStringConvertible {
    /// The bytes as UTF-8 text, with what is not UTF-8 replaced.
    public var description: String {
        String(decoding: self, as: UTF8.self)
    }
}
