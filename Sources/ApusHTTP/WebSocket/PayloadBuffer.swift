import ApusGateway
import Glibc

/// The payload of a message under way. Grows with what has come, never by what was announced; becomes the application's
/// `Bytes` without a copy.
final class PayloadBuffer {
    /// What a buffer begins with where its final size is not known.
    private static let initialCapacity = 512

    private var memory: UnsafeMutableRawPointer?
    private var capacity = 0
    private(set) var count = 0

    deinit {
        free(memory)
    }

    /// The bytes so far; valid until the next change.
    var bytes: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: memory, count: count)
    }

    /// The bytes from an offset on; valid until the next change.
    func bytes(from offset: Int) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: bytes[min(offset, count)...])
    }

    /// Appends what a peer has masked.
    ///
    /// - Parameter limit: How many bytes the buffer will take at most from here on, where that is known.
    func append(_ masked: UnsafeRawBufferPointer, key: inout MaskKey, limit: Int?) {
        withRoom(masked.count, limit: limit) { room in
            guard let target = room.baseAddress else { return 0 }
            key.unmask(masked, into: target)
            return masked.count
        }
    }

    /// Appends up to `size` bytes that `fill` writes; it returns how many.
    func withRoom<Failure: Error>(
        _ size: Int,
        limit: Int?,
        _ fill: (UnsafeMutableRawBufferPointer) throws(Failure) -> Int
    ) throws(Failure) {
        reserve(size, limit: limit)
        guard let memory else { return }
        let written = try fill(UnsafeMutableRawBufferPointer(start: memory + count, count: size))
        precondition(written >= 0 && written <= size, "no more is written than there was room for")
        count += written
    }

    /// Doubles, but not beyond what is known to be enough.
    private func reserve(_ size: Int, limit: Int?) {
        let needed = count + size
        guard needed > capacity else { return }
        var generous = max(2 * capacity, Self.initialCapacity)
        if let limit { generous = min(generous, count + min(limit, generous)) }
        resize(max(needed, generous))
    }

    private func resize(_ size: Int) {
        guard let resized = realloc(memory, max(size, 1)) else { fatalError("out of memory") }
        memory = resized
        capacity = size
    }

    /// All of it, in place; the buffer takes nothing more.
    func takeBytes() -> Bytes {
        // What is far larger than its content would be kept so by an application that keeps the message.
        if capacity - count > count / 4 { resize(count) }
        return Bytes(owner: self, memory: bytes)
    }

    /// The bytes before `end` as text, which was found to be UTF-8; those behind it stay.
    func takeText(upTo end: Int) -> String {
        let text = String(decoding: UnsafeRawBufferPointer(rebasing: bytes[..<end]), as: UTF8.self)
        if let memory, end > 0 {
            memmove(memory, memory + end, count - end)
        }
        count -= end
        return text
    }
}
