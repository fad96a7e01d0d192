/// Something with a point in time at which it wants attention.
protocol Expiring: AnyObject {
    /// Where it lies in its heap; -1 outside.
    var heapIndex: Int { get set }
}

/// A binary heap of objects by the time at which they are due.
///
/// A time that moves later does not touch the heap: the entry is found early, once, and moved then.
/// So the many re-arms of a busy connection cost a comparison each, and no entry is ever left behind.
struct ExpiryHeap<Element: Expiring> {
    private struct Entry {
        var key: UInt64
        let element: Element
    }

    private var entries: [Entry] = []

    var count: Int { entries.count }

    /// The earliest time at which an element may be due.
    var earliest: UInt64? { entries.first?.key }

    /// Puts an element in, or moves it forward if it is due earlier than it was.
    mutating func schedule(_ element: Element, at key: UInt64) {
        if element.heapIndex < 0 {
            element.heapIndex = entries.count
            entries.append(Entry(key: key, element: element))
            siftUp(entries.count - 1)
        } else if key < entries[element.heapIndex].key {
            entries[element.heapIndex].key = key
            siftUp(element.heapIndex)
        }
    }

    /// Takes an element out.
    mutating func remove(_ element: Element) {
        let index = element.heapIndex
        guard index >= 0 else { return }
        element.heapIndex = -1
        let last = entries.removeLast()
        guard index < entries.count else { return }
        entries[index] = last
        last.element.heapIndex = index
        siftUp(index)
        siftDown(last.element.heapIndex)
    }

    /// Takes out the element in front, if its time has come.
    mutating func popDue(_ now: UInt64) -> Element? {
        guard let first = entries.first, first.key <= now else { return nil }
        remove(first.element)
        return first.element
    }

    private mutating func siftUp(_ start: Int) {
        var index = start
        while index > 0 {
            let parent = (index - 1) / 2
            guard entries[index].key < entries[parent].key else { break }
            swap(index, parent)
            index = parent
        }
    }

    private mutating func siftDown(_ start: Int) {
        var index = start
        while true {
            var least = index
            for child in 2 * index + 1...2 * index + 2 where child < entries.count {
                if entries[child].key < entries[least].key { least = child }
            }
            guard least != index else { break }
            swap(index, least)
            index = least
        }
    }

    private mutating func swap(_ left: Int, _ right: Int) {
        entries.swapAt(left, right)
        entries[left].element.heapIndex = left
        entries[right].element.heapIndex = right
    }
}
