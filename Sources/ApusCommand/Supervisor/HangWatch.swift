import ApusHTTP

/// Whether a worker's loop turns: pings it, and judges it by how long it does not answer.
///
/// A worker that has got no core is not to blame. So patience begins when the first examination of a silent worker has said
/// how long its threads have waited for a core so far; what they wait from then on does not count. That is reckoned from one
/// examination to the next: threads that end take their time along, and many may wait at a time.
///
/// ```
/// quiet ──interval──▶ pinged ──interval, examined──▶ silent ──examined every interval──▶ hung
///   ▲────────pong────────┴────────────pong─────────────┘
/// ```
struct HangWatch: Equatable, Sendable {
    /// Pings are never further apart.
    static let longestInterval = TimeSpan.seconds(1)

    /// What has to be done at ``due``.
    enum Step: Equatable {
        case ping(number: Int)
        case examine
    }

    private enum State: Equatable {
        case quiet
        case pinged
        /// So long it has stood still, until the last examination, which found this.
        case silent(TimeSpan, until: Instant, runDelay: TimeSpan)
    }

    /// How long the loop may stand still.
    private let timeout: TimeSpan
    /// How long there is between an answer and the next ping, and from a ping to the first examination.
    private let interval: TimeSpan
    private var state = State.quiet
    /// The last ping's number.
    private var number = 0
    /// When ``handleTimeout(_:)`` has something to do.
    private(set) var due: Instant

    init(timeout: TimeSpan, now: Instant) {
        self.timeout = timeout
        interval = min(Self.longestInterval, TimeSpan(nanoseconds: timeout.nanoseconds / 4))
        due = now + interval
    }

    /// What is due, if anything is.
    mutating func handleTimeout(_ now: Instant) -> Step? {
        guard due <= now else { return nil }
        due = now + interval
        guard state == .quiet else { return .examine }
        state = .pinged
        number += 1
        return .ping(number: number)
    }

    /// Takes in an answer. One to a ping of somebody before says nothing about now.
    mutating func pong(_ number: Int, now: Instant) {
        guard state != .quiet, number == self.number else { return }
        state = .quiet
        due = now + interval
    }

    /// Takes in how long the worker's threads have waited for a core since its start.
    ///
    /// - Returns: How long the loop has stood still, where that is too long.
    mutating func examined(runDelay: TimeSpan, now: Instant) -> TimeSpan? {
        switch state {
        case .quiet:
            return nil
        case .pinged:
            state = .silent(TimeSpan(nanoseconds: 0), until: now, runDelay: runDelay)
            due = now + interval
        case .silent(let before, let then, let earlierDelay):
            let silence = now.since(then).nanoseconds
            let waited = runDelay.nanoseconds - min(earlierDelay.nanoseconds, runDelay.nanoseconds)
            let still = TimeSpan(nanoseconds: before.nanoseconds + silence - min(waited, silence))
            guard still < timeout else { return still }
            state = .silent(still, until: now, runDelay: runDelay)
            // Not only when patience may be over: between two steps that are close, an absence of the watcher shows.
            due = now + min(interval, TimeSpan(nanoseconds: timeout.nanoseconds - still.nanoseconds))
        }
        return nil
    }

    /// Forgets the silence so far: whoever watches was away, and may have missed the answer.
    mutating func startAnew(_ now: Instant) {
        guard state != .quiet else { return }
        state = .pinged
        due = now + interval
    }
}
