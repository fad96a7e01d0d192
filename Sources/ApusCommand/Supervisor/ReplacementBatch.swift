/// Workers that start in the partner slots of those that they replace, and take over together.
struct ReplacementBatch: Equatable, Sendable {
    /// Why workers are replaced.
    enum Reason: Equatable, Sendable {
        case reload
        /// One worker, for what the text says of it.
        case recycling(String)
    }

    /// The replacement of one index.
    struct Member: Equatable, Sendable {
        let index: Int
        let slot: Int
        /// The new worker, once its slot was free for it.
        var worker: Int?
        var isReady = false
    }

    let reason: Reason
    var members: [Member]

    /// Which member a worker is.
    func member(of id: Int) -> Int? {
        members.firstIndex { $0.worker == id }
    }

    /// Whether a slot is kept for a member.
    func reserves(_ slot: Int) -> Bool {
        members.contains { $0.slot == slot }
    }

    var isReady: Bool {
        members.allSatisfy(\.isReady)
    }
}
