import ApusHTTP

/// What a supervisor knows of a worker that has not exited.
struct WorkerRecord: Equatable, Sendable {
    /// Where a worker is in its life.
    enum State: String, Equatable, Sendable, CaseIterable {
        /// Its application starts.
        case starting
        /// It is ready, and takes over once all of its batch are.
        case standby
        /// It serves.
        case active
        /// It has to drain and leave.
        case draining
        /// It was killed, and its exit has not been seen yet.
        case killed
    }

    /// Its number, never used twice.
    let id: Int
    /// Whose work it does.
    let index: Int
    /// Where it does it.
    let slot: Int
    /// When it was spawned.
    let startedAt: Instant
    var state = State.starting
    /// When its start takes too long.
    var startDeadline: Instant
    /// How many requests it has served, by its last answer.
    var requests = 0

    /// Whether it has ever been ready.
    var wasReady = false
    /// Whether its loop turns; from when it is ready on.
    var watch: HangWatch?
    /// When it is replaced for its age.
    var expiresAt: Instant?
    /// After how many requests it is replaced.
    var requestLimit: Int?
    /// Why it is to be replaced, once it is.
    var recycling: String?
    /// Whether somebody else has told it to stop.
    var isLeaving = false
    /// What it has to be told about its drain, until it is told: whether another serves in its place.
    var untoldDrain: Bool?
    /// When a drain takes too long.
    var drainDeadline: Instant?
    /// Whether its drain took too long.
    var isOverdue = false

    init(id: Int, index: Int, slot: Int, startedAt: Instant) {
        self.id = id
        self.index = index
        self.slot = slot
        self.startedAt = startedAt
        startDeadline = startedAt + Supervision.startTimeout
    }

    /// What the log calls it.
    var name: String { "worker \(index) (slot \(slot))" }

    /// The next time at which something about it has to be done.
    var due: Instant? {
        switch state {
        case .killed: return nil
        case .starting: return startDeadline
        case .standby: return watch?.due
        case .draining: return drainDeadline
        case .active:
            let expiry = recycling == nil ? expiresAt : nil
            return [watch?.due, expiry].compactMap { $0 }.min()
        }
    }
}

/// What a supervisor knows of an index: one active worker serves it, in one of its two slots.
struct IndexRecord: Equatable, Sendable {
    /// The slot of its worker, or where the last one was.
    var home: Int
    /// The worker that serves it or is about to; nil while a successor has to wait.
    var worker: Int?
    /// How long successors wait.
    var backoff = Backoff()
    /// When the successor may start; nil: at once.
    var successorDue: Instant?
}
