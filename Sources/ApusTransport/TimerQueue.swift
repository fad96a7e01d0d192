import ApusHTTP

/// A binary heap of timers by the time under which they were queued.
///
/// A timer has at most one entry. Its deadline may meanwhile be later than its entry says, or cleared:
/// that is found out when the entry comes up, which costs one look per timer and period instead of work
/// at every change. So the queue is never larger than the number of living timers.
struct TimerQueue {
    private var heap: ContiguousArray<TimerNode> = []
    /// The nodes that are about to fire; kept for its storage.
    private var due: ContiguousArray<TimerNode> = []

    var count: Int { heap.count }

    /// When the queue has to be looked at next; nil if it is empty.
    var nextLook: Instant? { heap.first?.queuedAt }

    /// Enters the node under its deadline, or moves it forward to there.
    mutating func schedule(_ node: TimerNode) {
        if !node.isQueued {
            node.index = heap.count
            heap.append(node)
        }
        node.queuedAt = node.deadline
        siftUp(from: node.index)
    }

    mutating func remove(_ node: TimerNode) {
        guard node.isQueued else { return }
        removeEntry(at: node.index)
    }

    /// Takes out the timers that are due; those whose entry is outdated are entered anew or dropped. The
    /// caller fires them one by one (one of them may disarm another), and gives the storage back.
    mutating func takeDue(now: Instant) -> ContiguousArray<TimerNode> {
        var due = ContiguousArray<TimerNode>()
        swap(&due, &self.due)
        while let node = heap.first, node.queuedAt <= now {
            removeEntry(at: 0)
            if node.deadline <= now {
                due.append(node)
            } else if node.deadline != .distantFuture {
                schedule(node)
            }
        }
        return due
    }

    mutating func giveBack(_ storage: consuming ContiguousArray<TimerNode>) {
        storage.removeAll(keepingCapacity: true)
        due = storage
    }

    // MARK: Heap

    private mutating func removeEntry(at index: Int) {
        heap[index].queuedAt = .distantFuture
        let last = heap.removeLast()
        guard index < heap.count else { return }
        place(last, at: index)
        siftDown(from: index)
        siftUp(from: last.index)
    }

    private mutating func place(_ node: TimerNode, at index: Int) {
        heap[index] = node
        node.index = index
    }

    private mutating func siftUp(from start: Int) {
        let node = heap[start]
        var index = start
        while index > 0 {
            let parent = (index - 1) / 2
            guard node.queuedAt < heap[parent].queuedAt else { break }
            place(heap[parent], at: index)
            index = parent
        }
        place(node, at: index)
    }

    private mutating func siftDown(from start: Int) {
        let node = heap[start]
        var index = start
        while true {
            var child = 2 * index + 1
            guard child < heap.count else { break }
            if child + 1 < heap.count, heap[child + 1].queuedAt < heap[child].queuedAt { child += 1 }
            guard heap[child].queuedAt < node.queuedAt else { break }
            place(heap[child], at: index)
            index = child
        }
        place(node, at: index)
    }
}
