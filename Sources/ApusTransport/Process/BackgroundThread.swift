import ApusHTTP
import CApusShims
import Glibc

/// A thread for what would block a loop. It takes no signals.
enum BackgroundThread {
    static func start(_ body: @escaping @Sendable () -> Void) throws(SystemError) {
        let work = Unmanaged.passRetained(Work(body))
        let code = apus_start_thread(
            // The pointer is the work below, given away to this thread alone.
            { context in if let context { Unmanaged<Work>.fromOpaque(context).takeRetainedValue().body() } },
            work.toOpaque()
        )
        guard code == 0 else {
            work.release()
            throw SystemError("pthread_create", code: -code)
        }
    }

    /// A closure that C can be given.
    private final class Work: Sendable {
        let body: @Sendable () -> Void

        init(_ body: @escaping @Sendable () -> Void) {
            self.body = body
        }
    }
}

/// The clock of ``Instant``, for who has no loop.
enum Clock {
    static func now() -> Instant {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Instant(nanoseconds: UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec))
    }
}
