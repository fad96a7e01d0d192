import ApusHTTP

// The state as text, one fact a line: what one version writes, another has to read.
//
//     apus-supervision 1
//     places MAXWORKERS NEXTID ANNOUNCED
//     newcomers SLOT SLOT ...
//     homes SLOT SLOT ...
//     reader ID
//     worker ID INDEX SLOT STATE STARTED [DEADLINE]
//     adopted SLOT ID | releasing SLOT ID
//     end
extension SupervisionState {
    /// The first line; another number says that lines mean something else.
    static let format = "apus-supervision 1"
    /// The last line: nothing is missing.
    private static let end = "end"
    /// Far more workers than there can ever be, so that counting on never overflows.
    static let maxID = 1 << 53

    /// As lines of text.
    var encoded: String {
        var lines = [Self.format]
        lines.append("places \(maxWorkers) \(nextID) \(isAnnounced ? 1 : 0)")
        lines.append((["newcomers"] + newcomers.map { "\($0)" }).joined(separator: " "))
        lines.append((["homes"] + homes.map { "\($0)" }).joined(separator: " "))
        if let reader { lines.append("reader \(reader)") }
        for worker in workers {
            let deadline = worker.drainDeadline.map { " \($0.nanoseconds)" } ?? ""
            let position = "\(worker.id) \(worker.index) \(worker.slot)"
            lines.append("worker \(position) \(worker.state.rawValue) \(worker.startedAt.nanoseconds)\(deadline)")
        }
        for adoption in adoptions {
            lines.append("\(adoption.isReleasing ? "releasing" : "adopted") \(adoption.slot) \(adoption.id)")
        }
        lines.append(Self.end)
        return lines.joined(separator: "\n")
    }

    /// Nil for anything that no supervisor has written, and for another format.
    init?(encoded: String) {
        self.init(maxWorkers: 0, nextID: 0, isAnnounced: false, newcomers: [], homes: [], workers: [], adoptions: [])
        let lines = encoded.split(separator: "\n", omittingEmptySubsequences: false)
        guard lines.count > 1, lines[0] == Self.format, lines.last.map(String.init) == Self.end else { return nil }
        for line in lines.dropFirst().dropLast() {
            guard read(line.split(separator: " ", omittingEmptySubsequences: false)) else { return nil }
        }
        guard isSound else { return nil }
    }

    /// Takes in a line; false where it is none, or says again what was said.
    private mutating func read(_ words: [Substring]) -> Bool {
        if words[0] == "worker" {
            guard let worker = Worker(words: words.dropFirst()) else { return false }
            workers.append(worker)
            return true
        }
        let numbers: [Int] = words.dropFirst().compactMap { Self.number($0) }
        guard numbers.count == words.count - 1 else { return false }
        switch (words[0], numbers.count) {
        case ("places", 3) where maxWorkers == 0 && numbers[2] <= 1:
            (maxWorkers, nextID, isAnnounced) = (numbers[0], numbers[1], numbers[2] == 1)
        case ("newcomers", 1...) where newcomers.isEmpty: newcomers = numbers
        case ("homes", 1...) where homes.isEmpty: homes = numbers
        case ("reader", 1) where reader == nil: reader = numbers[0]
        case ("adopted", 2), ("releasing", 2):
            adoptions.append(Adoption(slot: numbers[0], id: numbers[1], isReleasing: words[0] == "releasing"))
        default: return false
        }
        return true
    }

    /// A number in decimal digits.
    fileprivate static func number<Number: FixedWidthInteger>(_ word: Substring) -> Number? {
        guard word.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }) else { return nil }
        return Number(word)
    }

    // MARK: - What every state has

    private var isSound: Bool {
        (1...SupervisorSettings.mostWorkers).contains(maxWorkers) && (1...Self.maxID).contains(nextID)
            && (1...maxWorkers).contains(homes.count)
            && homes.enumerated().allSatisfy { isSlot($1, of: $0) }
            && newcomers.allSatisfy { (0..<2 * maxWorkers).contains($0) } && Set(newcomers).count == newcomers.count
            && newcomers.count <= maxWorkers
            && areWorkersSound && areAdoptionsSound
    }

    private func isSlot(_ slot: Int, of index: Int) -> Bool {
        slot == index || slot == index + maxWorkers
    }

    private var areWorkersSound: Bool {
        let serving = workers.filter(\.isServing)
        return Set(workers.map(\.id)).count == workers.count && Set(workers.map(\.slot)).count == workers.count
            && Set(serving.map(\.index)).count == serving.count
            && workers.allSatisfy { worker in
                worker.id >= 1 && worker.id < nextID && worker.index < maxWorkers
                    && isSlot(worker.slot, of: worker.index)
            }
            && serving.allSatisfy { $0.index < homes.count && homes[$0.index] == $0.slot }
    }

    private var areAdoptionsSound: Bool {
        let ids = Set(workers.map(\.id))
        let taken = workers.map(\.slot) + adoptions.map(\.slot)
        return Set(taken).count == taken.count && (reader.map { ids.contains($0) } ?? true)
            && adoptions.allSatisfy { ids.contains($0.id) && $0.slot < 2 * maxWorkers }
    }
}

extension SupervisionState.Worker {
    /// From `ID INDEX SLOT STATE STARTED [DEADLINE]`; a deadline is there exactly where it drains.
    fileprivate init?(words: ArraySlice<Substring>) {
        let words = Array(words)
        guard words.count >= 5, let state = WorkerRecord.State(rawValue: String(words[3])) else { return nil }
        // A batch is never handed over.
        guard state != .standby, words.count == (state == .draining ? 6 : 5) else { return nil }
        let numbers: [Int] = words.prefix(3).compactMap { SupervisionState.number($0) }
        let times: [UInt64] = words.dropFirst(4).compactMap { SupervisionState.number($0) }
        guard numbers.count == 3, times.count == words.count - 4 else { return nil }
        self.init(
            id: numbers[0],
            index: numbers[1],
            slot: numbers[2],
            state: state,
            startedAt: Instant(nanoseconds: times[0]),
            drainDeadline: state == .draining ? Instant(nanoseconds: times[1]) : nil
        )
    }
}
