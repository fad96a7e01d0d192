import Glibc
import Synchronization

/// SIGINT and SIGTERM: the first asks the server to drain, the second ends the process at once, as SIGQUIT does.
///
/// The handler is the process's and not a thread's, so that it does not matter which threads the runtime has already
/// started, and children begin with the defaults.
enum StopSignals {
    /// Signals so far.
    private static let count = Atomic<Int>(0)
    /// Posted by the first signal. The pointer is set once and `sem_post` may be called from anywhere.
    private nonisolated(unsafe) static let firstSignal: UnsafeMutablePointer<sem_t> = {
        let semaphore = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)
        sem_init(semaphore, 0, 0)
        return semaphore
    }()

    /// Installs the handlers; `stop` is called once, on a thread of its own, after the first signal.
    static func install(_ stop: @escaping @Sendable () -> Void) {
        // Both statics are made here, not by the handler.
        count.store(0, ordering: .relaxed)
        _ = firstSignal
        let isWaiting = startThread {
            while sem_wait(firstSignal) != 0 && errno == EINTR {}
            stop()
        }
        // Without the thread nobody would hear of a signal: it keeps its default effect.
        guard isWaiting else { return }
        var action = sigaction()
        action.__sigaction_handler.sa_handler = { StopSignals.handle($0) }
        action.sa_flags = SA_RESTART
        sigaction(SIGINT, &action, nil)
        sigaction(SIGTERM, &action, nil)
        sigaction(SIGQUIT, &action, nil)
    }

    /// Runs as a signal handler: an atomic, `sem_post` and `_exit`, which are safe there, and nothing else.
    private static func handle(_ signal: Int32) {
        if count.add(1, ordering: .relaxed).oldValue > 0 || signal == SIGQUIT {
            // The code of a process that the signal had killed, as shells count it: 130, 143 or 131.
            _exit(128 + signal)
        }
        // It fails for a semaphore that is full only, which leaves errno for whoever was interrupted as it was.
        sem_post(firstSignal)
    }

    /// Whether the thread could be started.
    private static func startThread(_ body: @escaping @Sendable () -> Void) -> Bool {
        let work = Unmanaged.passRetained(ThreadBody(body))
        var thread = pthread_t()
        let code = pthread_create(
            &thread,
            nil,
            { context in
                // The pointer is the work below, given away to this thread alone.
                if let context { Unmanaged<ThreadBody>.fromOpaque(context).takeRetainedValue().run() }
                return nil
            },
            work.toOpaque()
        )
        if code == 0 { pthread_detach(thread) } else { work.release() }
        return code == 0
    }
}

/// A closure that a C thread can be given.
private final class ThreadBody: Sendable {
    private let body: @Sendable () -> Void

    init(_ body: @escaping @Sendable () -> Void) {
        self.body = body
    }

    func run() {
        body()
    }
}
