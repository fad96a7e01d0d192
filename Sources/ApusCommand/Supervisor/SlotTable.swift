/// Who reads the sockets of each slot: at most one worker, its own or one that has adopted it.
struct SlotTable: Equatable, Sendable {
    /// Who reads a slot.
    enum Holder: Equatable, Sendable {
        case nobody
        /// The worker that was spawned there, until its exit has been seen.
        case owner(Int)
        /// A worker of another slot.
        case adopter(Int)
        /// An adopter that was told to stop, and has not said yet that it has.
        case releasing(Int)
    }

    /// The indices there can be.
    let maxWorkers: Int
    private(set) var holders: [Holder]

    init(maxWorkers: Int) {
        self.maxWorkers = maxWorkers
        holders = Array(repeating: .nobody, count: 2 * maxWorkers)
    }

    /// The other slot of the same index.
    func partner(of slot: Int) -> Int {
        slot < maxWorkers ? slot + maxWorkers : slot - maxWorkers
    }

    /// The worker that was spawned into a slot and has not exited.
    func owner(of slot: Int) -> Int? {
        if case .owner(let id) = holders[slot] { id } else { nil }
    }

    func isOwned(_ slot: Int) -> Bool {
        owner(of: slot) != nil
    }

    /// How many slots a worker reads for others.
    func adopted(by id: Int) -> Int {
        holders.count { $0 == .adopter(id) }
    }

    mutating func setHolder(of slot: Int, to holder: Holder) {
        holders[slot] = holder
    }

    /// Takes in that an adopter has stopped reading; false where it was not asked to.
    mutating func released(_ slot: Int, by id: Int) -> Bool {
        guard holders.indices.contains(slot), holders[slot] == .releasing(id) else { return false }
        holders[slot] = .nobody
        return true
    }

    /// Takes in that a worker's process has ended: it reads nothing any more, asked or not.
    mutating func removeWorker(_ id: Int) {
        for slot in holders.indices {
            switch holders[slot] {
            case .owner(id), .adopter(id), .releasing(id): holders[slot] = .nobody
            case .nobody, .owner, .adopter, .releasing: break
            }
        }
    }
}
