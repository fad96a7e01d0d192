import CApusShims
import Glibc
import Synchronization

extension EventLoop {
    /// Starts the loop's own thread; once.
    package func start() throws(SystemError) {
        try threadHandle.withLock { handle throws(SystemError) in
            precondition(handle == nil && !isStopping.load(ordering: .relaxed), "an event loop starts once")
            handle = try spawn()
        }
    }

    /// Makes the loop end after its present turn; from any thread. Work submitted before runs.
    package func stop() {
        isStopping.store(true, ordering: .releasing)
        notify()
    }

    /// Waits until the loop's thread has ended; never from that thread.
    package func join() {
        precondition(!isOnLoop, "an event loop cannot wait for itself")
        let handle = threadHandle.withLock { handle in
            defer { handle = nil }
            return handle
        }
        if let handle { pthread_join(handle, nil) }
    }

    /// Whether the caller runs on the loop's thread.
    package var isOnLoop: Bool {
        thread.load(ordering: .relaxed) == pthread_self()
    }

    /// Whether there is no thread yet, or none any more.
    var hasNoThread: Bool {
        thread.load(ordering: .relaxed) == 0
    }

    /// Whether a timer may still fire.
    var firesTimers: Bool {
        !hasNoThread && !isStopping.load(ordering: .relaxed)
    }

    /// Checks in debug builds that the caller runs on the loop's thread, or that there is none (yet, or
    /// any more).
    package func preconditionOnLoop() {
        assert(isOnLoop || hasNoThread, "not on the event loop's thread")
    }

    private func spawn() throws(SystemError) -> pthread_t {
        // A thread inherits the signal mask: block before it exists, so that no signal can fall between.
        var all = sigset_t()
        var previous = sigset_t()
        sigfillset(&all)
        // Faults stay deliverable: blocked, they would kill without the runtime's backtrace.
        for signal in [SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGABRT] {
            sigdelset(&all, signal)
        }
        pthread_sigmask(SIG_SETMASK, &all, &previous)
        defer { pthread_sigmask(SIG_SETMASK, &previous, nil) }

        let loop = Unmanaged.passRetained(self)
        var handle = pthread_t()
        let code = pthread_create(&handle, nil, { runLoopThread($0) }, loop.toOpaque())
        guard code == 0 else {
            loop.release()
            throw SystemError("pthread_create", code: code)
        }
        return handle
    }
}

/// The thread's body; takes over the reference that `spawn` has made.
private func runLoopThread(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    guard let argument else { return nil }
    let loop = Unmanaged<EventLoop>.fromOpaque(argument).takeRetainedValue()
    apus_set_thread_name(loop.name)
    loop.thread.store(pthread_self(), ordering: .releasing)
    loop.runUntilStopped()
    loop.finish()
    return nil
}
