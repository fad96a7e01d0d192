/// A queue that is empty or holds one element most of the time: that one needs no memory of its own.
struct ShortQueue<Element> {
    /// The element that has waited longest; nil where the queue is empty.
    private var first: Element?
    /// The others, from `head` on; taken ones are nil.
    private var others: [Element?] = []
    private var head = 0

    var count: Int { first == nil ? 0 : 1 + others.count - head }
    var isEmpty: Bool { first == nil }

    mutating func append(_ element: Element) {
        if first == nil {
            first = element
        } else {
            others.append(element)
        }
    }

    /// Puts an element in the place of the one that came last.
    mutating func replaceLast(_ element: Element) {
        if head < others.count {
            others[others.count - 1] = element
        } else {
            first = element
        }
    }

    mutating func removeFirst() -> Element? {
        guard let element = first else { return nil }
        first = nil
        if head < others.count {
            first = others[head]
            others[head] = nil
            head += 1
            compact()
        }
        return element
    }

    /// Gives memory back as soon as nothing is in it, and moves the rest forward before the taken ones are most of it.
    private mutating func compact() {
        if head == others.count {
            others = []
            head = 0
        } else if head >= 32, head * 2 >= others.count {
            others.removeFirst(head)
            head = 0
        }
    }
}
