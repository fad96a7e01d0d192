import ApusGateway
import Testing

@testable import Apus

struct BodyQueueTests {
    @Test func `bytes that come one at a time wait in pieces that are worth their memory`() {
        let count = 100_000
        var queue = BodyQueue()
        for number in 0..<count {
            queue.append(Bytes([UInt8(truncatingIfNeeded: number)]))
        }
        let pieces = drained(&queue)
        #expect(pieces.count <= count / BodyQueue.maxJoined * 2 + BodyQueue.maxUnjoined)
        #expect(pieces.joined().elementsEqual((0..<count).map { UInt8(truncatingIfNeeded: $0) }))
    }

    @Test func `a queue that is taken from as it grows keeps the order`() {
        var queue = BodyQueue()
        var taken: [UInt8] = []
        for number in 0..<10_000 {
            queue.append(Bytes([UInt8(truncatingIfNeeded: number)]))
            if number % 100 == 99, let piece = queue.popFirst() {
                taken += Array(piece).prefix(1)
                queue.putBack(piece.dropFirst(1))
            }
        }
        taken += drained(&queue).joined()
        #expect(taken == (0..<10_000).map { UInt8(truncatingIfNeeded: $0) })
    }

    @Test func `few pieces, and large ones, wait as they came`() {
        var queue = BodyQueue()
        let sizes = Array(repeating: 1, count: BodyQueue.maxUnjoined) + [BodyQueue.maxJoined, BodyQueue.maxJoined]
        for size in sizes {
            queue.append(Bytes([UInt8](repeating: 0, count: size)))
        }
        #expect(drained(&queue).map(\.count) == sizes)
    }

    private func drained(_ queue: inout BodyQueue) -> [Bytes] {
        var pieces: [Bytes] = []
        while let piece = queue.popFirst() {
            pieces.append(piece)
        }
        return pieces
    }
}
