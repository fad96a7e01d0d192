import Glibc
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
///
/// `@unchecked Sendable`: `jobs` and `isClosed` are touched under `lock` only. It is a POSIX mutex because
/// the thread sanitizer does not see `Mutex` being taken over from a thread that holds it, and this is the
/// place where it must be able to look.
final class RemoteQueue: @unchecked Sendable {
    private static let idle: UInt8 = 0
    private static let sleeping: UInt8 = 1
    private static let pending: UInt8 = 2

    /// In an allocation of its own: a mutex must not move.
    private let lock: UnsafeMutablePointer<pthread_mutex_t>
    private var jobs: ContiguousArray<LoopJob> = []
    private var isClosed = false
    private let state = Atomic<UInt8>(idle)

    init() {
        lock = .allocate(capacity: 1)
        pthread_mutex_init(lock, nil)
    }

    deinit {
        pthread_mutex_destroy(lock)
        lock.deallocate()
    }

    // MARK: Any thread

    enum PutResult {
        case taken
        /// Taken, and the loop must be woken.
        case takenWhileAsleep
        /// The loop has ended and runs nothing more.
        case closed
    }

    func put(_ job: LoopJob) -> PutResult {
        guard append(job) else { return .closed }
        return notify() ? .takenWhileAsleep : .taken
    }

    private func append(_ job: LoopJob) -> Bool {
        pthread_mutex_lock(lock)
        defer { pthread_mutex_unlock(lock) }
        guard !isClosed else { return false }
        jobs.append(job)
        return true
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

    /// Ends sleep, and moves what has come in to the end of `local`.
    func takeAll(into local: inout ContiguousArray<LoopJob>) {
        guard state.load(ordering: .relaxed) != Self.idle,
            state.exchange(Self.idle, ordering: .acquiringAndReleasing) == Self.pending
        else { return }
        pthread_mutex_lock(lock)
        defer { pthread_mutex_unlock(lock) }
        // Usually nothing else waits: then the storages change places and no job is touched.
        if local.isEmpty { return swap(&local, &jobs) }
        local.append(contentsOf: jobs)
        jobs.removeAll(keepingCapacity: true)
    }

    /// Takes nothing more; gives what was left.
    func close() -> ContiguousArray<LoopJob> {
        pthread_mutex_lock(lock)
        defer { pthread_mutex_unlock(lock) }
        isClosed = true
        defer { jobs = [] }
        return jobs
    }
}
