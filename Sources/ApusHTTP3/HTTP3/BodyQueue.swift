import ApusGateway
import CNghttp3

/// A response body on its way: pieces that wait, then those in flight, kept in place until the peer has them all.
struct BodyQueue {
    private var pieces: [Bytes] = []
    /// The first piece that is not wholly acknowledged.
    private var first = 0
    /// Acknowledged bytes of that piece.
    private var acknowledged = 0
    /// The piece, and the offset within it, that is handed out next.
    private var next = 0
    private var nextOffset = 0
    /// Bytes that are not handed out yet.
    private(set) var waiting = 0
    /// Bytes that are kept, those in flight included.
    private(set) var held = 0

    /// Adds a piece at the end.
    mutating func append(_ piece: Bytes) {
        guard !piece.isEmpty else { return }
        pieces.append(piece)
        waiting += piece.count
        held += piece.count
    }

    /// Points vectors at what comes next, up to `limit` bytes, and counts it as handed out.
    ///
    /// - Returns: The number of vectors that were filled.
    mutating func handOut(_ vectors: UnsafeMutablePointer<nghttp3_vec>, count: Int, limit: Int) -> Int {
        var filled = 0
        var left = limit
        while filled < count, left > 0, next < pieces.count {
            let memory = pieces[next].memory
            let length = min(memory.count - nextOffset, left)
            // nghttp3 only reads through the pointer, although the vector has it mutable.
            let base = memory.baseAddress.map { UnsafeMutableRawPointer(mutating: $0 + nextOffset) }
            vectors[filled] = nghttp3_vec(base: base?.assumingMemoryBound(to: UInt8.self), len: length)
            filled += 1
            left -= length
            waiting -= length
            nextOffset += length
            if nextOffset == memory.count {
                next += 1
                nextOffset = 0
            }
        }
        return filled
    }

    /// Gives up bytes that the peer has, oldest first.
    mutating func acknowledge(_ count: Int) {
        var left = count
        while left > 0, first < next || (first == next && acknowledged < nextOffset), first < pieces.count {
            let known = (first == next ? nextOffset : pieces[first].count) - acknowledged
            let taken = min(known, left)
            left -= taken
            held -= taken
            acknowledged += taken
            guard acknowledged == pieces[first].count else { break }
            pieces[first] = Bytes()
            first += 1
            acknowledged = 0
        }
        compact()
    }

    /// Gives up everything; only once the library no longer looks at it.
    mutating func removeAll() {
        self = BodyQueue(reusing: pieces)
    }

    init() {}

    private init(reusing storage: consuming [Bytes]) {
        storage.removeAll(keepingCapacity: storage.capacity <= 16)
        pieces = storage
    }

    private mutating func compact() {
        if first == pieces.count {
            pieces.removeAll(keepingCapacity: pieces.capacity <= 16)
            next = 0
            first = 0
        } else if first > 16, first * 2 > pieces.count {
            pieces.removeFirst(first)
            next -= first
            first = 0
        }
    }
}
