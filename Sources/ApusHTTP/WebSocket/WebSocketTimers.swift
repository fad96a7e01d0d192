/// What a WebSocket waits for, each until its own time.
///
/// The times that come and go with every message stay where they are until they are due, and are looked at only then: a
/// driver need not move its timer with each message.
struct WebSocketTimers {
    /// What a time that is due asks for.
    enum Due {
        case nothing
        /// The peer has been silent for the ping interval.
        case ping
        /// Nothing has come since the ping.
        case pongMissing
        /// No message for too long.
        case idle
        /// Open for too long.
        case age
        /// No answer to our Close frame.
        case closeMissing
    }

    private let pingInterval: TimeSpan?
    private let pingTimeout: TimeSpan?
    private let idleTimeout: TimeSpan?
    private let closeTimeout: TimeSpan

    /// When bytes of the peer's came last.
    var lastHeard: Instant
    /// When a message, or a part of one, came or went last.
    var lastMessage: Instant
    /// Whether we have not read for a while since the pong's time began: it may have come meanwhile.
    var hasPaused = false

    private var lastPing: Instant
    /// When the first ping was made that nothing has answered.
    private var unansweredSince: Instant?
    private var pingCheck: Instant
    private var pongCheck = Instant.distantFuture
    private var idleCheck: Instant
    private var ageDue: Instant
    private var closeDue = Instant.distantFuture

    init(_ options: WebSocketOptions, now: Instant) {
        pingInterval = Self.span(options.pingInterval)
        pingTimeout = Self.span(options.pingTimeout)
        idleTimeout = Self.span(options.idleTimeout)
        closeTimeout = .seconds(options.closeTimeout)
        lastHeard = now
        lastMessage = now
        lastPing = now
        pingCheck = Self.time(pingInterval, after: now)
        idleCheck = Self.time(idleTimeout, after: now)
        ageDue = Self.time(Self.span(options.maxAge), after: now)
    }

    /// A time that need not be. One of nothing would be due again at once, for ever: it is none, as on the command line.
    private static func span(_ seconds: Double?) -> TimeSpan? {
        seconds.flatMap { $0 > 0 ? .seconds($0) : nil }
    }

    private static func time(_ span: TimeSpan?, after start: Instant) -> Instant {
        span.map { start + $0 } ?? .distantFuture
    }

    /// The first of all times; nil where there is none.
    var earliest: Instant? {
        let earliest = min(min(pingCheck, pongCheck), min(idleCheck, ageDue), closeDue)
        return earliest == .distantFuture ? nil : earliest
    }

    /// Our Close frame is made: nothing else is waited for but the peer's.
    mutating func startClosing(_ now: Instant) {
        stop()
        closeDue = now + closeTimeout
    }

    /// Nothing is waited for any more.
    mutating func stop() {
        pingCheck = .distantFuture
        pongCheck = .distantFuture
        idleCheck = .distantFuture
        ageDue = .distantFuture
        closeDue = .distantFuture
    }

    /// What is due, the weightiest first; moves the times that are due on.
    ///
    /// - Parameters:
    ///   - isReading: Whether the peer's bytes are wanted: where they are not, its silence is our doing.
    ///   - pingIsWaiting: Whether our last ping has not left yet.
    ///   - isBusy: Whether a message waits for the application, which then cannot be called idle.
    mutating func due(_ now: Instant, isReading: Bool, pingIsWaiting: Bool, isBusy: Bool) -> Due {
        if now >= closeDue { return .closeMissing }
        if now >= ageDue { return .age }
        if now >= idleCheck {
            idleCheck = Self.time(idleTimeout, after: isBusy ? now : lastMessage)
            if now >= idleCheck { return .idle }
        }
        // Whatever comes after the ping counts as its answer. A pong alone would be too strict: it may be queued behind
        // a large frame, which nothing can interrupt, and whoever sends that is there.
        if let since = unansweredSince, lastHeard > since {
            unansweredSince = nil
            pongCheck = .distantFuture
        }
        if now >= pongCheck {
            guard hasPaused || !isReading || pingIsWaiting else { return .pongMissing }
            startPongTime(now, isReading: isReading)
        }
        return pingIsDue(now, isReading: isReading) ? .ping : .nothing
    }

    private mutating func pingIsDue(_ now: Instant, isReading: Bool) -> Bool {
        guard now >= pingCheck else { return false }
        pingCheck = Self.time(pingInterval, after: max(lastHeard, lastPing))
        guard now >= pingCheck else { return false }
        lastPing = now
        pingCheck = Self.time(pingInterval, after: now)
        if unansweredSince == nil {
            unansweredSince = now
            startPongTime(now, isReading: isReading)
        }
        return true
    }

    private mutating func startPongTime(_ now: Instant, isReading: Bool) {
        pongCheck = Self.time(pingTimeout, after: now)
        hasPaused = !isReading
    }
}
