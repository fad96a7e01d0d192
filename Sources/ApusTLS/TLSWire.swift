import COpenSSL
import Glibc

/// The two ends of the wire as OpenSSL sees them: it reads from memory that is lent for one call, and its output is
/// collected here. Lives in an allocation of its own: the callbacks of the BIO reach nothing else.
struct TLSWire {
    /// What an empty output keeps: a short response needs no allocation, an idle session holds next to nothing.
    static let retainedCapacity = 1024

    /// What is left of the lent memory; valid only while a call of the owner lasts.
    private(set) var input = UnsafeRawBufferPointer(start: nil, count: 0)
    /// From `malloc`; `start..<end` waits to be sent.
    private var block: UnsafeMutableRawPointer?
    private(set) var capacity = 0
    private var start = 0
    private var end = 0

    // MARK: Input

    mutating func lend(_ bytes: UnsafeRawBufferPointer) {
        input = bytes
    }

    mutating func endLoan() {
        input = UnsafeRawBufferPointer(start: nil, count: 0)
    }

    /// Copies the next bytes of the input; 0: there are none.
    mutating func read(into target: UnsafeMutableRawPointer, count: Int) -> Int {
        let taken = min(count, input.count)
        guard taken > 0, let source = input.baseAddress else { return 0 }
        target.copyMemory(from: source, byteCount: taken)
        input = UnsafeRawBufferPointer(rebasing: input[taken...])
        return taken
    }

    // MARK: Output

    var pendingCount: Int { end - start }

    /// What waits to be sent; valid until the next mutation.
    var pending: UnsafeRawBufferPointer {
        guard let block, end > start else { return UnsafeRawBufferPointer(start: nil, count: 0) }
        return UnsafeRawBufferPointer(start: block + start, count: end - start)
    }

    /// Adds bytes to the output; false: there is no memory.
    mutating func append(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard let source = bytes.baseAddress else { return true }
        guard reserve(bytes.count), let block else { return false }
        (block + end).copyMemory(from: source, byteCount: bytes.count)
        end += bytes.count
        return true
    }

    /// Makes room for `count` more bytes; false: there is no memory.
    mutating func reserve(_ count: Int) -> Bool {
        guard capacity - end < count else { return true }
        if let block, start > 0 {
            // memmove: the ranges may overlap.
            memmove(block, block + start, end - start)
            end -= start
            start = 0
            if capacity - end >= count { return true }
        }
        let size = max(end + count, capacity * 2, Self.retainedCapacity)
        guard let larger = realloc(block, size) else { return false }
        block = larger
        capacity = size
        return true
    }

    /// - Precondition: `count` is at most ``pendingCount``.
    mutating func consume(_ count: Int) {
        precondition(count >= 0 && count <= end - start, "no more is consumed than was pending")
        start += count
        if start == end { removeAll() }
    }

    /// Drops the output, and its memory unless it is small.
    mutating func removeAll() {
        start = 0
        end = 0
        if capacity > Self.retainedCapacity { deallocate() }
    }

    mutating func deallocate() {
        free(block)
        block = nil
        capacity = 0
    }
}

// MARK: BIO

extension TLSWire {
    /// The BIO type whose data is a `TLSWire`. Made once and never changed: safe from every thread.
    nonisolated(unsafe) private static let method: OpaquePointer? = makeMethod()

    /// A BIO over this wire, which must outlive it; nil: there is no memory.
    static func makeBIO(over wire: UnsafeMutablePointer<TLSWire>) -> OpaquePointer? {
        guard let method, let bio = BIO_new(method) else { return nil }
        BIO_set_data(bio, wire)
        BIO_set_init(bio, 1)
        return bio
    }

    private static func makeMethod() -> OpaquePointer? {
        guard let method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "apus") else { return nil }
        BIO_meth_set_read_ex(method) { bio, target, count, taken in
            // A flag left from before would make an alert look like want of input.
            apus_bio_clear_retry(bio)
            guard let wire = TLSWire.of(bio), let target, let taken else { return 0 }
            taken.pointee = wire.pointee.read(into: target, count: count)
            if taken.pointee > 0 { return 1 }
            apus_bio_set_retry_read(bio)
            return 0
        }
        BIO_meth_set_write_ex(method) { bio, source, count, written in
            apus_bio_clear_retry(bio)
            guard let wire = TLSWire.of(bio), let written else { return 0 }
            guard wire.pointee.append(UnsafeRawBufferPointer(start: source, count: count)) else { return 0 }
            written.pointee = count
            return 1
        }
        // A flush has nothing to do and must succeed; nothing else is supported.
        BIO_meth_set_ctrl(method) { _, command, _, _ in command == BIO_CTRL_FLUSH ? 1 : 0 }
        return method
    }

    private static func of(_ bio: OpaquePointer?) -> UnsafeMutablePointer<TLSWire>? {
        BIO_get_data(bio)?.assumingMemoryBound(to: TLSWire.self)
    }
}
