import ApusHTTP
import Logging

/// The decisions of a supervisor: which workers there are, who reads which slot, who gets new connections.
///
/// Sans-I/O: events and the time go in, actions come out; whoever drives it owns the clock, the processes and the sockets.
/// After every ``handle(_:now:)`` and ``handleTimeout(_:)`` all of ``nextAction()`` is carried out, in order.
///
/// An event changes what is known and wished; then ``settle(_:)`` compares that with what is, and does what is possible
/// now. What has to wait for something (a slot that is still read, a batch that runs) is found again after the event that
/// it waits for.
struct Supervision {
    /// A supervisor that is called later than this after its deadline has been away itself, and judges nobody for it.
    static let latenessTolerance = TimeSpan.milliseconds(500)
    /// How much longer than by its own account a worker may take to leave. What has never been ready leaves within this.
    static let drainMargin = TimeSpan.seconds(10)
    /// How long a worker may take to be ready: a start that never ends would hold up every reload, or leave an index
    /// without a worker.
    static let startTimeout = TimeSpan.seconds(300)
    /// So many starts of an index may fail in a row while no worker has ever been ready.
    static let maxFailedStarts = 5

    /// What has begun when the supervisor stops.
    struct Ending: Equatable {
        /// What it exits with.
        var code: Int32
        /// Whether the exit has been said.
        var isOver = false
    }

    /// Where a change of the executable is.
    enum Upgrade: Equatable {
        case none
        /// Waits for the batch that runs, which no state tells of.
        case requested
        case checking
        /// Usable; waits for a batch as well.
        case wanted
        case replacing
    }

    let settings: SupervisionSettings
    /// What jitter is drawn from.
    var random: any RandomNumberGenerator
    /// What nobody has taken yet.
    private var actions: [SupervisionAction] = []
    /// When ``handleTimeout(_:)`` is due; nil where nothing waits for a time.
    private(set) var deadline: Instant?

    /// Every worker that has not exited, by its number.
    var workers: [Int: WorkerRecord] = [:]
    /// The next worker's number.
    var nextID = 1
    /// The indices that are served.
    var indices: [IndexRecord]
    /// How many indices are wanted; more or fewer than there are only while a batch runs.
    var wantedCount: Int
    /// Who reads what.
    var slots: SlotTable
    /// The slots that new connections go to, one for each active worker.
    var newcomers: [Int]
    /// The worker that reads the shared UDP sockets.
    var reader: Int?
    /// Whether any worker has ever been ready.
    var wasEverReady = false
    /// Whether ``SupervisionAction/ready`` has been said.
    var isAnnounced = false

    /// The workers that are about to take over.
    var batch: ReplacementBatch?
    /// Whether all workers are to be replaced, once they can be.
    var isReloadWished = false
    /// Whether ``SupervisionAction/reloading`` has been said, and its end has not.
    var isReloading = false
    /// How long recycling waits after new workers that did not start.
    var recyclingBackoff = Backoff()
    /// When recycling may begin again.
    var recyclingDue: Instant?
    var upgrade = Upgrade.none
    var ending: Ending?

    /// A supervisor that has no workers yet.
    ///
    /// - Parameter random: What jitter is drawn from.
    init(settings: SupervisionSettings, random: any RandomNumberGenerator = SystemRandomNumberGenerator()) {
        self.settings = settings
        self.random = random
        indices = (0..<settings.workers).map { IndexRecord(home: $0) }
        wantedCount = settings.workers
        slots = SlotTable(maxWorkers: settings.maxWorkers)
        newcomers = Array(0..<settings.workers)
    }

    // MARK: - Inputs

    /// Takes in what has happened.
    mutating func handle(_ event: SupervisionEvent, now: Instant) {
        guard ending?.isOver != true else { return }
        noticeLateness(now)
        switch event {
        case .start: start(now)
        case .spawnFailed(let id, let reason): workerEnded(id, "could not be spawned: \(reason)", isOrderly: false, now)
        case .workerReady(let id): workerReady(id, now)
        case .workerLeaving(let id): workerLeaving(id, now)
        case .workerExited(let id, let exit): workerExited(id, exit, now)
        case .released(let slot, let id): _ = slots.released(slot, by: id)
        case .pong(let id, let number, let requests, let memory): pong(id, number, requests, memory, now)
        case .examined(let id, let runDelay): examined(id, runDelay, now)
        case .reload: reload()
        case .upgradeRequested: requestUpgrade()
        case .executableChecked(let isUsable, let text): executableChecked(isUsable, text)
        case .imageNotReplaced(let reason): imageNotReplaced(reason)
        case .more: wantMore()
        case .fewer: wantFewer()
        case .stop(let signal): stop(signal, now)
        case .stopNow(let signal): stopNow(signal)
        }
        settle(now)
    }

    /// Takes in that ``deadline`` has come.
    mutating func handleTimeout(_ now: Instant) {
        guard ending?.isOver != true else { return }
        noticeLateness(now)
        for id in workers.keys.sorted() {
            handleTimeout(of: id, now)
        }
        settle(now)
    }

    /// A supervisor that was stopped itself, or got no core, may have missed every answer.
    private mutating func noticeLateness(_ now: Instant) {
        guard let deadline, deadline + Self.latenessTolerance < now else { return }
        for id in workers.keys {
            workers[id]?.watch?.startAnew(now)
        }
        // Where everything stood still (a container can), so did the starts; and the own time of workers that drain is up
        // now, so that they are about to leave.
        guard now.since(deadline) >= Self.drainMargin else { return }
        let leave = now + Self.drainMargin
        for (id, worker) in workers {
            workers[id]?.startDeadline = now + Self.startTimeout
            if let deadline = worker.drainDeadline { workers[id]?.drainDeadline = max(deadline, leave) }
        }
    }

    // MARK: - Outputs

    /// What is to be done next; nil until something else has happened.
    mutating func nextAction() -> SupervisionAction? {
        // Last of all, since even carrying out an action may change the state that is handed over.
        if actions.isEmpty { continueUpgrade() }
        return actions.isEmpty ? nil : actions.removeFirst()
    }

    mutating func act(_ action: SupervisionAction) {
        actions.append(action)
    }

    mutating func log(_ level: Logger.Level, _ text: String, worker: Int? = nil) {
        act(.log(level, text, worker: worker))
    }

    // MARK: - What follows

    /// Does what is possible now of what is wished.
    private mutating func settle(_ now: Instant) {
        if ending == nil {
            // In this order, so that what one makes possible for the next is done at once; whoever serves is settled first.
            takeOver(now)
            adjustCount(now)
            announce()
            steer()
            chooseReader()
            startSuccessors(now)
            advanceBatch(now)
            shareSlots()
        } else {
            // The connections of those that still drain need their datagrams.
            chooseReader()
        }
        // Only now, when others have been told that they take over.
        tellDrains()
        finish()
        deadline = nextDue(after: now)
    }

    /// Says once that every worker of the start is ready.
    private mutating func announce() {
        guard !isAnnounced, indices.allSatisfy({ isActive($0.worker) }) else { return }
        isAnnounced = true
        act(.ready)
    }

    private func nextDue(after now: Instant) -> Instant? {
        guard ending?.isOver != true else { return nil }
        var due = workers.values.compactMap(\.due)
        if ending == nil {
            // One whose time has come waits for a slot, and that is no matter of time.
            due += indices.filter { $0.worker == nil }.compactMap(\.successorDue).filter { now < $0 }
            if let recyclingDue, now < recyclingDue { due.append(recyclingDue) }
        }
        return due.min()
    }
}
