/// The events of a connection on their way to its driver, first in, first out.
///
/// A place of its own for each event, moved in and moved out: on the path of every request, an array's bookkeeping shows.
package struct EventQueue: ~Copyable {
    /// Events that an empty queue keeps room for: a request with its end, and the reset or answer of another.
    private static let retainedCapacity = 4

    /// Initialised from `head` to `tail`.
    private var slots: UnsafeMutableBufferPointer<StreamEvent> = UnsafeMutableBufferPointer(start: nil, count: 0)
    private var head = 0
    private var tail = 0

    package init() {}

    deinit {
        slots[head..<tail].deinitialize()
        slots.deallocate()
    }

    package mutating func append(_ event: consuming StreamEvent) {
        if tail == slots.count { makeRoom() }
        slots.initializeElement(at: tail, to: event)
        tail += 1
    }

    /// Takes the event that has waited longest; nil where there is none.
    package mutating func removeFirst() -> StreamEvent? {
        guard head < tail else { return nil }
        let event = slots.moveElement(from: head)
        head += 1
        if head == tail { becomeEmpty() }
        return event
    }

    private mutating func becomeEmpty() {
        head = 0
        tail = 0
        guard slots.count > Self.retainedCapacity else { return }
        slots.deallocate()
        slots = UnsafeMutableBufferPointer(start: nil, count: 0)
    }

    private mutating func makeRoom() {
        let larger = UnsafeMutableBufferPointer<StreamEvent>
            .allocate(capacity: max(Self.retainedCapacity, 2 * (tail - head)))
        _ = larger.moveInitialize(fromContentsOf: slots[head..<tail])
        slots.deallocate()
        slots = larger
        tail -= head
        head = 0
    }
}
