import ApusHTTP

/// How long to wait before something that has failed is tried again: longer each time, until it has worked.
struct Backoff: Equatable, Sendable {
    /// The wait after the first failure; every further one doubles it.
    static let first = TimeSpan.milliseconds(100)
    /// The longest wait.
    static let longest = TimeSpan.seconds(10)
    /// A worker that dies sooner than this after its start has died early, though it may have been ready.
    static let earlyDeath = TimeSpan.seconds(1)

    /// How often in a row it has failed.
    private(set) var failures = 0

    /// Takes in a failure.
    ///
    /// - Returns: How long to wait.
    mutating func fail() -> TimeSpan {
        failures += 1
        return Self.wait(failures)
    }

    /// Takes in the death of a worker.
    ///
    /// - Returns: How long its successor waits: not at all where the worker had served for a while, or where this is the
    ///   first one that was ready and died early all the same.
    mutating func die(wasReady: Bool, afterLiving age: TimeSpan) -> TimeSpan {
        guard wasReady else { return fail() }
        guard age < Self.earlyDeath else {
            succeed()
            return TimeSpan(nanoseconds: 0)
        }
        failures += 1
        return failures == 1 ? TimeSpan(nanoseconds: 0) : Self.wait(failures - 1)
    }

    /// Takes in that it has worked.
    mutating func succeed() {
        failures = 0
    }

    private static func wait(_ failures: Int) -> TimeSpan {
        // Seven doublings are more than the longest wait: the shift stays small however often it fails.
        let doubled = TimeSpan(nanoseconds: first.nanoseconds << UInt64(min(failures - 1, 7)))
        return min(doubled, longest)
    }
}
