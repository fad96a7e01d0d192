import ApusHTTP
import CApusShims
import Glibc
import Synchronization

/// One thread that waits for sockets and timers and runs the tasks of their owner's application.
///
/// A turn: poll, I/O events, due timers, the jobs that were queued when the job phase began (never those
/// they add, so that no task starves the sockets), turn-end handlers. It sleeps only where nothing waits.
///
/// The loop is a `TaskExecutor`: a task that prefers it runs here, and one that never leaves it costs
/// neither a lock nor a wake-up.
///
/// `@unchecked Sendable`: everything but `remote`, `thread`, `isStopping` and `threadHandle` (which are
/// synchronised) is touched on the loop's own thread only, or before `start()`; `preconditionOnLoop()`
/// checks that in debug builds.
package final class EventLoop: TaskExecutor, @unchecked Sendable {
    /// Events taken from the kernel in one turn.
    static let eventsPerTurn = 256
    /// Size of `readBuffer`.
    package static let readBufferBytes = 65_536
    /// A deadline nearer than this is measured from the time of the call, not of the turn's start.
    static let precisionWindow = TimeSpan.milliseconds(10)

    /// The thread's name, of which the kernel keeps 15 bytes.
    package let name: String
    /// The time when this turn began (after its wait); never goes backwards.
    package private(set) var now: Instant
    /// Scratch memory for a read: whoever reads on this loop may use it until its handler returns.
    package let readBuffer: UnsafeMutableRawBufferPointer

    private let epoll: Int32
    private let wakeUpDescriptor: Int32
    private let events: UnsafeMutablePointer<epoll_event>
    private var registrations = RegistrationTable()
    var timers = TimerQueue()

    /// What runs in the next job phase.
    private var jobs: ContiguousArray<LoopJob> = []
    /// The storage of the last phase's jobs, for reuse.
    private var spareJobs: ContiguousArray<LoopJob> = []
    private var turnEndHandlers: ContiguousArray<any TurnEndHandler> = []
    private var spareTurnEndHandlers: ContiguousArray<any TurnEndHandler> = []
    /// Set in the last turn: nothing more is taken, not even from the loop's own thread.
    private var isFinished = false

    private let remote = RemoteQueue()
    /// The loop's thread while it runs, else 0.
    let thread = Atomic<UInt>(0)
    let isStopping = Atomic<Bool>(false)
    /// The thread to join, once started and until joined.
    let threadHandle = Mutex<pthread_t?>(nil)

    /// Makes a loop that does not run yet; descriptors and timers may be set up before `start()`.
    package init(name: String) throws(SystemError) {
        epoll = epoll_create1(Int32(EPOLL_CLOEXEC))
        guard epoll >= 0 else { throw .last("epoll_create1") }
        wakeUpDescriptor = eventfd(0, Int32(EFD_NONBLOCK | EFD_CLOEXEC))
        guard wakeUpDescriptor >= 0 else {
            let error = SystemError.last("eventfd")
            close(epoll)
            throw error
        }
        self.name = name
        now = Self.readClock()
        readBuffer = .allocate(byteCount: Self.readBufferBytes, alignment: 16)
        events = .allocate(capacity: Self.eventsPerTurn)
        // Edge-triggered and so never read: each write gives one event, and the counter cannot overflow.
        try control(EPOLL_CTL_ADD, wakeUpDescriptor, [.readable, .edgeTriggered], .wakeUp)
    }

    deinit {
        close(epoll)
        close(wakeUpDescriptor)
        events.deallocate()
        readBuffer.deallocate()
        // Nobody can join any more; this may even be the loop's own thread letting go of the last reference.
        if let handle = threadHandle.withLock({ $0 }) { pthread_detach(handle) }
    }

    // MARK: Time

    static func readClock() -> Instant {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Instant(nanoseconds: UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec))
    }

    /// Reads the clock, for one who has spent long in this turn.
    @discardableResult
    package func refreshNow() -> Instant {
        now = max(now, Self.readClock())
        return now
    }

    // MARK: Descriptors

    /// Watches `descriptor`; the loop keeps `handler` alive until `deregister`.
    package func register(
        _ descriptor: Int32,
        handler: any EventHandler,
        mode: WatchMode
    ) throws(SystemError) -> Registration {
        preconditionOnLoop()
        let registration = registrations.insert(handler)
        do {
            try control(EPOLL_CTL_ADD, descriptor, mode.events, registration)
        } catch {
            _ = registrations.remove(registration)
            throw error
        }
        return registration
    }

    /// Watches no longer, and lets go of the handler; to be called before the descriptor is closed. Not
    /// even an event that was already reported in this turn arrives later. Harmless if repeated.
    package func deregister(_ registration: Registration, descriptor: Int32) {
        preconditionOnLoop()
        guard let handler = registrations.remove(registration) else { return }
        // Closing alone would not do where the open file is shared, e.g. by a child between fork and exec.
        epoll_ctl(epoll, EPOLL_CTL_DEL, descriptor, nil)
        // The handler's deinit may come back to this loop: not before the table is consistent again.
        withExtendedLifetime(handler) {}
    }

    /// Changes what a level-triggered descriptor is watched for: being readable, writable, both or neither.
    package func setInterest(
        _ events: IOEvents,
        _ registration: Registration,
        descriptor: Int32
    ) throws(SystemError) {
        preconditionOnLoop()
        guard registrations.handler(of: registration) != nil else { return }
        try control(EPOLL_CTL_MOD, descriptor, events, registration)
    }

    private func control(
        _ operation: Int32,
        _ descriptor: Int32,
        _ events: IOEvents,
        _ registration: Registration
    ) throws(SystemError) {
        var event = epoll_event()
        event.events = events.rawValue
        event.data.u64 = registration.token
        guard epoll_ctl(epoll, operation, descriptor, &event) == 0 else { throw .last("epoll_ctl") }
    }

    // MARK: Jobs

    /// Queues work; it runs on the loop's thread in a later job phase, in the order of submission. False
    /// if the loop has ended: then it never runs.
    @discardableResult
    package func submit(_ work: @escaping @Sendable () -> Void) -> Bool {
        put(.work(work))
    }

    package func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        // A task that outlives its loop must be able to finish: let it do so in Swift's own pool.
        if !put(.job(job)) { globalConcurrentExecutor.enqueue(job) }
    }

    private func put(_ job: LoopJob) -> Bool {
        if isOnLoop {
            guard !isFinished else { return false }
            jobs.append(job)
            return true
        }
        switch remote.put(job) {
        case .taken: return true
        case .takenWhileAsleep: wakeUp()
        case .closed: return false
        }
        return true
    }

    func notify() {
        if remote.notify() { wakeUp() }
    }

    private func wakeUp() {
        // It cannot fail: the counter is far from full, and the descriptor lives as long as the loop.
        eventfd_write(wakeUpDescriptor, 1)
    }

    /// Calls `handler` once at the end of this turn (asked again while that happens: of the next). Asking
    /// twice means two calls: a handler remembers that it has asked.
    package func atEndOfTurn(_ handler: any TurnEndHandler) {
        preconditionOnLoop()
        turnEndHandlers.append(handler)
    }

    // MARK: A turn

    func runUntilStopped() {
        let executor = asUnownedTaskExecutor()
        while !isStopping.load(ordering: .relaxed) {
            poll()
            fireTimers()
            runJobs(on: executor)
            endTurn()
        }
    }

    private func poll() {
        let mayWait = jobs.isEmpty && turnEndHandlers.isEmpty && remote.prepareToSleep()
        let count = apus_epoll_wait(epoll, events, Int32(Self.eventsPerTurn), mayWait ? timeout() : 0)
        refreshNow()
        remote.takeAll(into: &jobs)
        // Less than 0 would be a fault of ours (EBADF, EINVAL): there is nothing to deliver then.
        guard count > 0 else { return }
        for index in 0..<Int(count) {
            let event = events[index]
            // An owner that left in this very batch is no longer in the table.
            registrations.handler(of: Registration(token: event.data.u64))?.handle(IOEvents(rawValue: event.events))
        }
    }

    /// Nanoseconds until the next timer; negative means for ever.
    private func timeout() -> Int64 {
        guard let look = timers.nextLook else { return -1 }
        if look < now + Self.precisionWindow { refreshNow() }
        return Int64(clamping: look.since(now).nanoseconds)
    }

    private func fireTimers() {
        guard let look = timers.nextLook, look <= now else { return }
        let due = timers.takeDue(now: now)
        for node in due where !node.isQueued && node.deadline <= now {
            node.deadline = .distantFuture
            node.handler?.timerFired(now: now)
        }
        timers.giveBack(due)
    }

    private func runJobs(on executor: UnownedTaskExecutor) {
        guard !jobs.isEmpty else { return }
        var batch = ContiguousArray<LoopJob>()
        swap(&batch, &spareJobs)
        swap(&batch, &jobs)
        for job in batch {
            switch job {
            case .job(let job): job.runSynchronously(on: executor)
            case .work(let work): work()
            }
        }
        batch.removeAll(keepingCapacity: true)
        spareJobs = batch
    }

    private func endTurn() {
        guard !turnEndHandlers.isEmpty else { return }
        var batch = ContiguousArray<any TurnEndHandler>()
        swap(&batch, &spareTurnEndHandlers)
        swap(&batch, &turnEndHandlers)
        for handler in batch {
            handler.turnDidEnd()
        }
        batch.removeAll(keepingCapacity: true)
        spareTurnEndHandlers = batch
    }

    /// The last turn: work that was accepted runs, tasks go on elsewhere, handlers are let go.
    func finish() {
        jobs.append(contentsOf: remote.close())
        // From here on nothing is taken, so that this cannot go on for ever.
        isFinished = true
        for job in jobs {
            switch job {
            case .job(let job): globalConcurrentExecutor.enqueue(job)
            case .work(let work): work()
            }
        }
        jobs = []
        endTurn()
        turnEndHandlers = []
        // Their sockets close themselves as their owners go.
        _ = registrations.removeAll()
        thread.store(0, ordering: .releasing)
    }
}
