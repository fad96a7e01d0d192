import ApusGateway
import ApusHTTP

/// Pieces of a response body that wait for the peer's window, in order.
struct BodyQueue {
    private var pieces: [Bytes] = []
    /// The first piece that is not yet gone.
    private var head = 0
    /// The bytes that wait.
    private(set) var count = 0

    mutating func append(_ bytes: Bytes) {
        guard !bytes.isEmpty else { return }
        pieces.append(bytes)
        count += bytes.count
    }

    /// Moves the first `wanted` bytes, or all where there are fewer, to the end of `output`.
    mutating func move(_ wanted: Int, to output: inout OutputBuffer) {
        var left = min(wanted, count)
        count -= left
        while left > 0 {
            let piece = pieces[head]
            if piece.count <= left {
                output.append(piece)
                left -= piece.count
                // Gives up the reference now, not when the array is cleared.
                pieces[head] = Bytes()
                head += 1
            } else {
                output.append(piece[0..<left])
                pieces[head] = piece.dropFirst(left)
                left = 0
            }
        }
        compact()
    }

    /// Forgets pieces that are gone once they are the larger part.
    private mutating func compact() {
        if head == pieces.count {
            removeAll()
        } else if head > 32, head * 2 > pieces.count {
            pieces.removeFirst(head)
            head = 0
        }
    }

    mutating func removeAll() {
        pieces.removeAll(keepingCapacity: pieces.capacity <= 16)
        head = 0
        count = 0
    }
}
