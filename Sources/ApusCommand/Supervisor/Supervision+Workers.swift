import ApusHTTP
import Logging

// A worker's life: its start, what it says of itself, its end, and who comes after it.
extension Supervision {
    /// Starts the first workers; where a supervisor continues, its workers are known, and are all replaced.
    mutating func start(_ now: Instant) {
        guard wasEverReady else {
            // Until somebody is ready, connections wait where workers are about to be.
            act(.steer(newcomers: newcomers))
            return
        }
        for worker in activeWorkers {
            beginService(of: worker.id, since: worker.startedAt, now)
        }
        reload()
    }

    /// Spawns the worker of every index that has none and need not wait.
    mutating func startSuccessors(_ now: Instant) {
        for index in indices.indices where indices[index].worker == nil {
            if let due = indices[index].successorDue, now < due { continue }
            guard let slot = slotForSuccessor(of: index), clear(slot) else { continue }
            indices[index].successorDue = nil
            indices[index].home = slot
            indices[index].worker = spawn(index: index, slot: slot, now)
        }
    }

    /// The slot of the one before or, while that one still drains there, the partner slot.
    private func slotForSuccessor(of index: Int) -> Int? {
        let home = indices[index].home
        return [home, slots.partner(of: home)].first { !slots.isOwned($0) && batch?.reserves($0) != true }
    }

    /// Whether nobody reads a slot; whoever has adopted it is asked to stop.
    mutating func clear(_ slot: Int) -> Bool {
        switch slots.holders[slot] {
        case .nobody: return true
        case .owner, .releasing: return false
        case .adopter(let id):
            slots.setHolder(of: slot, to: .releasing(id))
            act(.release(slot: slot, by: id))
            return false
        }
    }

    /// Spawns a worker into a slot that nobody reads.
    mutating func spawn(index: Int, slot: Int, _ now: Instant) -> Int {
        let id = nextID
        nextID += 1
        slots.setHolder(of: slot, to: .owner(id))
        workers[id] = WorkerRecord(id: id, index: index, slot: slot, startedAt: now)
        act(.spawn(id: id, index: index, slot: slot))
        return id
    }

    func isActive(_ id: Int?) -> Bool {
        guard let id else { return false }
        return workers[id]?.state == .active
    }

    // MARK: - What a worker says

    mutating func workerReady(_ id: Int, _ now: Instant) {
        guard var worker = workers[id] else { return }
        if worker.state == .draining, !worker.wasReady { return readyToLeave(worker, now) }
        guard worker.state == .starting else { return }
        worker.state = .active
        worker.wasReady = true
        if let member = batch?.member(of: id) {
            worker.state = .standby
            batch?.members[member].isReady = true
        }
        workers[id] = worker
        beginService(of: id, since: now, now)
        wasEverReady = true
        log(.info, "\(worker.name) is ready", worker: id)
    }

    /// From now on it is watched, and is replaced in time; its age counts from `start`.
    private mutating func beginService(of id: Int, since start: Instant, _ now: Instant) {
        let (requests, age) = (drawRequestLimit(), drawAge())
        let watch = HangWatch(timeout: settings.workerTimeout, now: now)
        workers[id]?.watch = watch
        workers[id]?.requestLimit = requests
        workers[id]?.expiresAt = age.map { start + $0 }
        noticeAge(of: id, now)
    }

    private mutating func noticeAge(of id: Int, _ now: Instant) {
        guard let worker = workers[id], let expiry = worker.expiresAt, expiry <= now, worker.recycling == nil else {
            return
        }
        workers[id]?.recycling = "its time is over"
    }

    /// One that was to leave before it was ready has an application to shut down now.
    private mutating func readyToLeave(_ worker: WorkerRecord, _ now: Instant) {
        let deadline = now + settings.leavingTime + Self.drainMargin
        workers[worker.id]?.wasReady = true
        workers[worker.id]?.drainDeadline = deadline
    }

    /// One that serves goes on until its successor is ready; one that does not serve yet may go at once.
    mutating func workerLeaving(_ id: Int, _ now: Instant) {
        guard let worker = workers[id] else { return }
        switch worker.state {
        case .draining, .killed: return
        case .active:
            workers[id]?.isLeaving = true
            workers[id]?.recycling = "somebody has told it to stop"
        case .starting, .standby:
            if batch?.member(of: id) != nil {
                abandonBatch("\(worker.name) was told to stop before it had taken over", now)
            } else {
                indices[worker.index].worker = nil
                retire(id, isReloading: true, now)
            }
        }
        log(.notice, "\(worker.name) was told to stop, and not by its supervisor", worker: id)
    }

    mutating func pong(_ id: Int, _ number: Int, _ requests: Int, _ residentBytes: Int?, _ now: Instant) {
        guard var worker = workers[id] else { return }
        worker.requests = max(worker.requests, requests)
        worker.watch?.pong(number, now: now)
        if worker.recycling == nil {
            worker.recycling = worker.excess(residentBytes: residentBytes, limit: settings.maxMemory)
        }
        workers[id] = worker
    }

    // MARK: - Time

    /// Does what has become due for one worker.
    mutating func handleTimeout(of id: Int, _ now: Instant) {
        guard let worker = workers[id], let due = worker.due, due <= now else { return }
        switch worker.state {
        case .killed: break
        case .starting: killUnready(worker, now)
        case .draining: killOverdue(worker)
        case .standby, .active:
            noticeAge(of: id, now)
            switch workers[id]?.watch?.handleTimeout(now) {
            case .ping(let number): act(.ping(id: id, number: number))
            case .examine: act(.examine(id: id))
            case nil: break
            }
        }
    }

    /// Judges a worker that does not answer.
    mutating func examined(_ id: Int, _ runDelay: TimeSpan?, _ now: Instant) {
        guard let worker = workers[id], worker.state == .active || worker.state == .standby else { return }
        let runDelay = runDelay ?? TimeSpan(nanoseconds: 0)
        guard let still = workers[id]?.watch?.examined(runDelay: runDelay, now: now) else { return }
        let seconds = still.nanoseconds / 1_000_000_000
        log(.error, "\(worker.name) hangs: its loop has stood still for \(seconds) s; it is killed", worker: id)
        if batch?.member(of: id) != nil {
            abandonBatch("new \(worker.name) hangs", killing: id, now)
        } else {
            kill(id)
        }
    }

    // MARK: - The end of a worker

    /// Lets a worker go: it is told once others have been told that they take over.
    mutating func retire(_ id: Int, isReloading: Bool, _ now: Instant) {
        guard let worker = workers[id], worker.state != .draining, worker.state != .killed else { return }
        // What has never been ready has no requests to finish.
        let time = worker.wasReady ? settings.leavingTime : TimeSpan(nanoseconds: 0)
        workers[id]?.state = .draining
        workers[id]?.untoldDrain = isReloading
        workers[id]?.drainDeadline = now + time + Self.drainMargin
    }

    mutating func tellDrains() {
        for id in workers.keys.sorted() {
            guard let isReloading = workers[id]?.untoldDrain else { continue }
            workers[id]?.untoldDrain = nil
            if workers[id]?.state == .draining { act(.drain(id: id, isReloading: isReloading)) }
        }
    }

    mutating func kill(_ id: Int) {
        workers[id]?.state = .killed
        act(.kill(id: id))
    }

    /// A start that does not end is one that has failed.
    private mutating func killUnready(_ worker: WorkerRecord, _ now: Instant) {
        let what = "\(worker.name) is not ready after \(Self.startTimeout.nanoseconds / 1_000_000_000) s"
        if batch?.member(of: worker.id) != nil {
            abandonBatch("new \(what)", killing: worker.id, now)
        } else {
            log(.error, "\(what); it is killed", worker: worker.id)
            kill(worker.id)
        }
    }

    private mutating func killOverdue(_ worker: WorkerRecord) {
        workers[worker.id]?.isOverdue = true
        log(.warning, "\(worker.name) has not left in time; it is killed", worker: worker.id)
        kill(worker.id)
    }

    mutating func workerExited(_ id: Int, _ exit: WorkerExit, _ now: Instant) {
        // A worker that says that nobody can start is believed, as long as nobody has.
        if case .code(let code) = exit, code == ExitStatus.usage || code == ExitStatus.applicationFailed,
            !wasEverReady, ending == nil, let worker = workers[id]
        {
            forget(id)
            log(.error, "\(worker.name) cannot start: it \(exit)", worker: id)
            return beginEnding(code: code, now)
        }
        workerEnded(id, "\(exit)", isOrderly: exit == .code(ExitStatus.stopped), now)
    }

    /// Takes in that a worker is no more; `how` completes a sentence.
    mutating func workerEnded(_ id: Int, _ how: String, isOrderly: Bool, _ now: Instant) {
        guard let worker = workers[id] else { return }
        forget(id)
        switch worker.state {
        case .draining:
            log(isOrderly ? .info : .warning, "\(worker.name) has left: it \(how)", worker: id)
        case .killed where worker.isOverdue:
            // Something of it was lost: requests, or its application's shutdown; but nothing of a start.
            if worker.wasReady, ending?.code == ExitStatus.stopped { ending?.code = ExitStatus.failed }
            log(.info, "\(worker.name) is gone: it \(how)", worker: id)
        case .starting, .standby, .active, .killed:
            died(worker, how, now)
        }
    }

    private mutating func forget(_ id: Int) {
        workers[id] = nil
        slots.removeWorker(id)
        if reader == id { reader = nil }
    }

    /// What follows from a death that nobody has asked for, or from that of a worker that hung.
    private mutating func died(_ worker: WorkerRecord, _ how: String, _ now: Instant) {
        if batch?.member(of: worker.id) != nil {
            return abandonBatch("new \(worker.name) \(how)", now)
        }
        // Killed with the batch that it belonged to, or with everybody.
        guard worker.index < indices.count, indices[worker.index].worker == worker.id else {
            return log(.info, "\(worker.name) is gone: it \(how)", worker: worker.id)
        }
        indices[worker.index].worker = nil
        var wait = TimeSpan(nanoseconds: 0)
        if !worker.isLeaving {
            wait = indices[worker.index].backoff
                .die(wasReady: worker.wasReady, afterLiving: now.since(worker.startedAt))
        }
        indices[worker.index].successorDue = now + wait
        let failures = indices[worker.index].backoff.failures
        let next = wait.nanoseconds == 0 ? "at once" : "in \(wait.nanoseconds / 1_000_000) ms"
        let again = failures > 1 ? ", \(failures) times in a row soon after its start" : ""
        let stage = worker.wasReady ? "died" : "did not start"
        log(
            worker.isLeaving ? .info : .error,
            "\(worker.name) \(stage): it \(how)\(again); its successor starts \(next)",
            worker: worker.id
        )
        guard !wasEverReady, failures >= Self.maxFailedStarts else { return }
        log(.critical, "no worker can start")
        beginEnding(code: ExitStatus.applicationFailed, now)
    }
}
