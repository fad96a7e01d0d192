import ApusHTTP

/// Events in order; empty most of the time, and then without memory to shift.
struct EventQueue {
    private var events: [StreamEvent?] = []
    private var head = 0

    mutating func append(_ event: StreamEvent) {
        events.append(event)
    }

    mutating func next() -> StreamEvent? {
        guard head < events.count else { return nil }
        let event = events[head]
        // Gives up the reference now, not when the array is cleared.
        events[head] = nil
        head += 1
        if head == events.count {
            events.removeAll(keepingCapacity: events.capacity <= 256)
            head = 0
        }
        return event
    }
}
