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
        /// It was told to drain and leave.
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
    /// How many requests it has served, by its last answer.
    var requests = 0
}
