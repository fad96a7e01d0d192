/// A point on the monotonic clock, in nanoseconds since an arbitrary start.
///
/// Engines never read a clock: whoever drives them passes the time in, and it never goes backwards.
package struct Instant: Hashable, Comparable, Sendable {
    /// Nanoseconds since the clock's start.
    package var nanoseconds: UInt64

    @inlinable
    package init(nanoseconds: UInt64) {
        self.nanoseconds = nanoseconds
    }

    /// A time that is never reached.
    package static var distantFuture: Instant { Instant(nanoseconds: .max) }

    @inlinable
    package static func < (left: Instant, right: Instant) -> Bool {
        left.nanoseconds < right.nanoseconds
    }

    /// Later by a time span; saturates, so that an unlimited timeout is `distantFuture`.
    @inlinable
    package static func + (left: Instant, right: TimeSpan) -> Instant {
        let (sum, overflow) = left.nanoseconds.addingReportingOverflow(right.nanoseconds)
        return Instant(nanoseconds: overflow ? .max : sum)
    }

    /// The span from an earlier instant to this one; zero where the other is later.
    @inlinable
    package func since(_ earlier: Instant) -> TimeSpan {
        TimeSpan(nanoseconds: nanoseconds > earlier.nanoseconds ? nanoseconds - earlier.nanoseconds : 0)
    }
}

/// A length of time, in nanoseconds.
package struct TimeSpan: Hashable, Comparable, Sendable {
    package var nanoseconds: UInt64

    @inlinable
    package init(nanoseconds: UInt64) {
        self.nanoseconds = nanoseconds
    }

    @inlinable
    package static func seconds(_ count: Double) -> TimeSpan {
        let nanoseconds = count * 1e9
        guard nanoseconds > 0 else { return TimeSpan(nanoseconds: 0) }
        return TimeSpan(nanoseconds: UInt64(exactly: nanoseconds.rounded()) ?? .max)
    }

    @inlinable
    package static func milliseconds(_ count: UInt64) -> TimeSpan {
        let (nanoseconds, overflow) = count.multipliedReportingOverflow(by: 1_000_000)
        return TimeSpan(nanoseconds: overflow ? .max : nanoseconds)
    }

    @inlinable
    package static func < (left: TimeSpan, right: TimeSpan) -> Bool {
        left.nanoseconds < right.nanoseconds
    }
}
