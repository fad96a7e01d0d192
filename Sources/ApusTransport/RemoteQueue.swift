import Synchronization

/// What a loop is asked to run.
enum LoopJob {
    /// A task's next step, as the concurrency runtime gave it: no closure, nothing to retain.
    case job(UnownedJob)
    case work(@Sendable () -> Void)
}

/// The way into a loop from other threads.
///
/// One atomic word carries both "something was put in" and "the loop sleeps", so that no interleaving can
/// lose a wake-up: a thread that finds the loop asleep wakes it, and a loop that finds something pending
/// does not go to sleep. While the loop is awake nobody makes a system call.
final class RemoteQueue: Sendable {
    private static let idle: UInt8 = 0
    private static let sleeping: UInt8 = 1
    private static let pending: UInt8 = 2

    private struct Contents {
        var jobs: ContiguousArray<LoopJob> = []
        var isClosed = false
    }

    private let contents = Mutex(Contents())
    private let state = Atomic<UInt8>(idle)

    // MARK: Any thread

    enum PutResult {
        case taken
        /// Taken, and the loop must be woken.
        case takenWhileAsleep
        /// The loop has ended and runs nothing more.
        case closed
    }

    func put(_ job: LoopJob) -> PutResult {
        let isClosed = contents.withLock { contents in
            guard !contents.isClosed else { return true }
            contents.jobs.append(job)
            return false
        }
        if isClosed { return .closed }
        return notify() ? .takenWhileAsleep : .taken
    }

    /// Makes the loop take another turn; true if it sleeps and must be woken.
    func notify() -> Bool {
        state.exchange(Self.pending, ordering: .acquiringAndReleasing) == Self.sleeping
    }

    // MARK: The loop's thread

    /// Announces that the loop is going to sleep; false if it must not.
    func prepareToSleep() -> Bool {
        state.compareExchange(expected: Self.idle, desired: Self.sleeping, ordering: .acquiringAndReleasing).exchanged
    }

    /// Ends sleep, and moves what has come in to the end of `jobs`.
    func takeAll(into jobs: inout ContiguousArray<LoopJob>) {
        guard state.load(ordering: .relaxed) != Self.idle,
            state.exchange(Self.idle, ordering: .acquiringAndReleasing) == Self.pending
        else { return }
        contents.withLock { contents in
            // Usually nothing else waits: then the storages change places and no job is touched.
            if jobs.isEmpty { return swap(&jobs, &contents.jobs) }
            jobs.append(contentsOf: contents.jobs)
            contents.jobs.removeAll(keepingCapacity: true)
        }
    }

    /// Takes nothing more; gives what was left.
    func close() -> ContiguousArray<LoopJob> {
        contents.withLock { contents in
            contents.isClosed = true
            defer { contents.jobs = [] }
            return contents.jobs
        }
    }
}
