import ApusGateway

/// A task that waits for a value; resumed exactly once. Confined to the loop's thread, as its stream is.
final class Waiter<Value: Sendable>: @unchecked Sendable {
    private var continuation: UnsafeContinuation<Value, any Error>?
    /// Whether the task was cancelled, perhaps before it waited.
    private(set) var isCancelled = false

    /// Takes the continuation of the task.
    func suspend(_ continuation: UnsafeContinuation<Value, any Error>) {
        self.continuation = continuation
    }

    func resume(returning value: Value) {
        continuation?.resume(returning: value)
        continuation = nil
    }

    func resume(throwing error: any Error) {
        continuation?.resume(throwing: error)
        continuation = nil
    }

    /// The task was cancelled: it stops waiting.
    func cancel() {
        isCancelled = true
        resume(throwing: CancellationError())
    }
}

/// A `send` that waits: with its event where that is not yet taken, without where it only waits for room.
final class SendWaiter: @unchecked Sendable {
    let waiter = Waiter<Void>()
    var event: SendEvent?

    init(event: SendEvent?) {
        self.event = event
    }
}

/// Body pieces in order. Bounded by the stream's window, which only opens as they are taken.
struct BodyQueue {
    /// Pieces that wait as they came, each with the buffer that it is a slice of; of more, the small ones are copied
    /// together.
    static let maxUnjoined = 16
    /// The largest piece that is made so.
    static let maxJoined = 4096

    private var pieces: [Bytes] = []
    private var head = 0

    var isEmpty: Bool { head == pieces.count }

    mutating func append(_ piece: Bytes) {
        // A queue that is never empty must not grow by what was taken from it.
        if head > 16, head > pieces.count / 2 {
            pieces.removeFirst(head)
            head = 0
        }
        pieces.append(piece)
        if pieces.count - head > Self.maxUnjoined { joinLast() }
    }

    /// Joins the last pieces, so that bytes that come one at a time take hardly more memory than others: the peer's window
    /// counts bytes, not pieces.
    ///
    /// A piece only takes in one that is at least half as large: so each byte is copied a few times, not with every piece.
    private mutating func joinLast() {
        while pieces.count - head > 1 {
            let last = pieces[pieces.count - 1]
            let previous = pieces[pieces.count - 2]
            let count = previous.count + last.count
            guard previous.count <= 2 * last.count, count <= Self.maxJoined else { return }
            pieces.removeLast()
            pieces[pieces.count - 1] = Bytes(joining: [previous, last], count: count)
        }
    }

    /// Puts back what is left of the piece that was taken last.
    mutating func putBack(_ piece: Bytes) {
        if head > 0 {
            head -= 1
            pieces[head] = piece
        } else {
            pieces.insert(piece, at: 0)
        }
    }

    mutating func popFirst() -> Bytes? {
        guard head < pieces.count else { return nil }
        let piece = pieces[head]
        pieces[head] = Bytes()
        head += 1
        if head == pieces.count { removeAll() }
        return piece
    }

    mutating func removeAll() {
        guard !pieces.isEmpty else { return }
        pieces.removeAll(keepingCapacity: pieces.count <= 16)
        head = 0
    }
}
