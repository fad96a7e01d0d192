import ApusHTTP
import Testing

struct EventQueueTests {
    private func number(_ event: consuming StreamEvent?) -> UInt64? {
        guard case .writable(let stream)? = event else { return nil }
        return stream.rawValue
    }

    @Test func `events leave in the order in which they came`() {
        var queue = EventQueue()
        var next: UInt64 = 0
        var expected: UInt64 = 0
        for round in 0..<200 {
            for _ in 0..<round % 13 {
                queue.append(.writable(StreamID(next)))
                next += 1
            }
            for _ in 0..<round % 11 {
                guard let found = number(queue.removeFirst()) else { break }
                #expect(found == expected)
                expected += 1
            }
        }
        while let found = number(queue.removeFirst()) {
            #expect(found == expected)
            expected += 1
        }
        #expect(expected == next)
        #expect(number(queue.removeFirst()) == nil)
    }

    @Test func `events that nobody took are given up with the queue`() {
        weak var file: Owner?
        do {
            var queue = EventQueue()
            for _ in 0..<5 {
                let owner = Owner()
                file = owner
                queue.append(.body(StreamID(1), owner.bytes))
            }
            _ = queue.removeFirst()
            #expect(file != nil)
        }
        #expect(file == nil)
    }
}
