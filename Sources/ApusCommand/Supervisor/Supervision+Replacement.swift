import ApusHTTP
import Logging

// New workers for old ones, new ones ready first; and more of them, or fewer.
extension Supervision {
    // MARK: - Reload

    /// Wishes a reload. One that has not begun yet will do for all that are wished until then.
    mutating func reload() {
        guard ending == nil else { return }
        isReloadWished = true
        if !isReloading { act(.reloading) }
        isReloading = true
        if batch != nil || !wasEverReady {
            log(.notice, "the reload waits for workers that are starting")
        } else if members(for: Array(indices.indices)) == nil {
            log(.notice, "the reload waits for workers that still drain")
        }
    }

    /// Starts the batch that is due next, or continues the one that runs.
    mutating func advanceBatch(_ now: Instant) {
        // A new executable waits for the batch that runs, and no batch goes before it.
        if batch == nil, upgrade != .requested, upgrade != .wanted, wasEverReady { beginBatch(now) }
        guard let members = batch?.members else { return }
        for (position, member) in members.enumerated() where member.worker == nil && clear(member.slot) {
            let id = spawn(index: member.index, slot: member.slot, now)
            batch?.members[position].worker = id
        }
    }

    private mutating func beginBatch(_ now: Instant) {
        if isReloadWished {
            guard let members = members(for: Array(indices.indices)) else { return }
            isReloadWished = false
            batch = ReplacementBatch(reason: .reload, members: members)
            log(.notice, "reload: \(members.count) new workers start")
        } else if let (worker, reason) = nextToRecycle(now), let members = members(for: [worker.index]) {
            batch = ReplacementBatch(reason: .recycling(reason), members: members)
            log(.notice, "\(worker.name) is replaced: \(reason)", worker: worker.id)
        }
    }

    /// The partner slots of some indices; nil while somebody still drains in one of them.
    private func members(for wanted: [Int]) -> [ReplacementBatch.Member]? {
        let members = wanted.map { index in
            ReplacementBatch.Member(index: index, slot: slots.partner(of: indices[index].home))
        }
        return members.contains { slots.isOwned($0.slot) } ? nil : members
    }

    /// Puts a batch that is ready in the place of the workers before, which drain.
    mutating func takeOver(_ now: Instant) {
        guard let done = batch, done.isReady else { return }
        batch = nil
        for member in done.members {
            if let old = indices[member.index].worker { retire(old, isReloading: true, now) }
            indices[member.index].worker = member.worker
            indices[member.index].home = member.slot
            indices[member.index].successorDue = nil
            if let id = member.worker { workers[id]?.state = .active }
        }
        switch done.reason {
        case .reload:
            log(.notice, "reload: \(done.members.count) new workers serve")
            endReload(succeeded: true)
        case .recycling: recyclingBackoff.succeed()
        }
    }

    /// Gives a batch up: the workers before go on.
    ///
    /// - Parameter stuck: The new worker that is to blame and would not leave by itself.
    mutating func abandonBatch(_ why: String, killing stuck: Int? = nil, _ now: Instant) {
        guard let failed = batch else { return }
        batch = nil
        if let stuck { kill(stuck) }
        // They drain: whoever is ready has accepted from the sockets that all share, and has an application to shut down.
        for id in failed.members.compactMap(\.worker) {
            retire(id, isReloading: true, now)
        }
        switch failed.reason {
        case .reload:
            log(.error, "reload failed: \(why); the workers before go on")
            endReload(succeeded: false)
        case .recycling:
            recyclingDue = now + recyclingBackoff.fail()
            log(.error, "recycling failed: \(why); the worker before goes on")
        }
    }

    private mutating func endReload(succeeded: Bool) {
        guard !isReloadWished else { return }
        isReloading = false
        act(.reloaded(succeeded: succeeded))
    }

    // MARK: - Recycling

    /// Who is replaced next: whoever leaves anyway, or else the first.
    private func nextToRecycle(_ now: Instant) -> (WorkerRecord, String)? {
        if let recyclingDue, now < recyclingDue { return nil }
        let candidates = activeWorkers.filter { $0.recycling != nil && !slots.isOwned(slots.partner(of: $0.slot)) }
        guard let worker = candidates.first(where: \.isLeaving) ?? candidates.first else { return nil }
        return worker.recycling.map { (worker, $0) }
    }

    /// The requests after which a new worker is replaced.
    mutating func drawRequestLimit() -> Int? {
        guard let limit = settings.maxRequests else { return nil }
        let (sum, overflow) = limit.addingReportingOverflow(.random(in: 0...settings.maxRequestsJitter, using: &random))
        return overflow ? .max : sum
    }

    /// The time after which a new worker is replaced.
    mutating func drawAge() -> TimeSpan? {
        guard let age = settings.maxAge?.nanoseconds else { return nil }
        let (sum, overflow) = age.addingReportingOverflow(.random(in: 0...(age / 10), using: &random))
        return TimeSpan(nanoseconds: overflow ? .max : sum)
    }

    // MARK: - More and fewer

    mutating func wantMore() {
        guard ending == nil else { return }
        guard wantedCount < settings.maxWorkers else {
            return log(.notice, "there are \(wantedCount) workers already, and no room for more (--max-workers)")
        }
        wantedCount += 1
        log(.notice, "\(wantedCount) workers from now on")
    }

    mutating func wantFewer() {
        guard ending == nil else { return }
        guard wantedCount > 1 else { return log(.notice, "the last worker stays") }
        wantedCount -= 1
        log(.notice, "\(wantedCount) workers from now on")
    }

    /// Brings the number of indices to what is wanted, unless a batch is about to take over.
    mutating func adjustCount(_ now: Instant) {
        guard batch == nil else { return }
        while indices.count < wantedCount {
            indices.append(IndexRecord(home: indices.count))
        }
        while indices.count > wantedCount {
            if let id = indices.removeLast().worker { retire(id, isReloading: true, now) }
        }
    }
}

extension WorkerRecord {
    /// Why it has to be replaced, by what it has used so far.
    func excess(residentBytes: Int?, limit: Int?) -> String? {
        if let requestLimit, requests >= requestLimit { return "it has served \(requests) requests" }
        if let limit, let residentBytes, residentBytes > limit {
            return "its memory has grown to \(residentBytes >> 20) MiB"
        }
        return nil
    }
}
