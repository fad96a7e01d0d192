import CZlib
import Glibc

/// Memory that zlib compresses into: grows while it is filled, and then stays in its place, as Bytes need it.
final class DeflatedMemory {
    private var start: UnsafeMutableRawPointer
    private var capacity: Int
    private(set) var count = 0

    /// Room for about `estimate` bytes and what a flush adds; not much of it before a message has shown that it needs it.
    init(estimate: Int) {
        capacity = min(max(estimate, 64), 64 * 1024) + 16
        start = Self.resized(nil, to: capacity)
    }

    deinit {
        free(start)
    }

    /// What has been written; stays where it is once `trim` has been called.
    var contents: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: start, count: count)
    }

    /// Compresses a whole piece and flushes it (Z_SYNC_FLUSH); false, with the piece half done, past `most` bytes.
    func fill(
        from stream: UnsafeMutablePointer<z_stream>,
        compressing piece: UnsafeRawBufferPointer,
        most: Int
    ) -> Bool {
        // The buffers are zlib's only during this call.
        defer {
            stream.pointee.next_in = nil
            stream.pointee.next_out = nil
        }
        var left = piece
        while true {
            let given = UInt32(clamping: left.count)
            let room = UInt32(clamping: capacity - count)
            // zlib reads from `next_in` and never writes to it, const or not.
            stream.pointee.next_in = UnsafeMutablePointer(
                mutating: left.baseAddress?.assumingMemoryBound(to: UInt8.self)
            )
            stream.pointee.avail_in = given
            stream.pointee.next_out = (start + count).assumingMemoryBound(to: UInt8.self)
            stream.pointee.avail_out = room
            // Fails only where there is nothing to do (Z_BUF_ERROR): a stream once opened allocates no more.
            _ = deflate(stream, Int(given) == left.count ? Z_SYNC_FLUSH : Z_NO_FLUSH)
            left = UnsafeRawBufferPointer(rebasing: left[Int(given - stream.pointee.avail_in)...])
            count += Int(room - stream.pointee.avail_out)
            guard count <= most else { return false }
            // zlib.h: a flush is complete once it leaves room in the output.
            if stream.pointee.avail_out > 0, left.isEmpty { return true }
            if count == capacity { resize(to: capacity * 2) }
        }
    }

    /// Drops the last bytes, and gives back the memory that is not needed.
    func trim(droppingLast dropped: Int) {
        count = max(count - dropped, 0)
        resize(to: max(count, 1))
    }

    private func resize(to newCapacity: Int) {
        start = Self.resized(start, to: newCapacity)
        capacity = newCapacity
    }

    private static func resized(_ memory: UnsafeMutableRawPointer?, to capacity: Int) -> UnsafeMutableRawPointer {
        guard let memory = realloc(memory, capacity) else { fatalError("no memory for \(capacity) bytes") }
        return memory
    }
}
