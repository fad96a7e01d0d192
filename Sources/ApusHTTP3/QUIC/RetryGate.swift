import ApusHTTP

/// Decides whose handshake is worked on before its address is proved (RFC 9000 §8.1.2).
///
/// A handshake costs a millisecond, and a flood of them can come from addresses that are not the sender's. Proving the
/// address costs a client a round trip, and the server a few microseconds: it is asked for where too many come without.
struct RetryGate {
    private let policy: QUICRetry
    private let maxUnderWay: Int
    private let hold: TimeSpan
    private var arrivals: TokenBucket
    private var packets: TokenBucket
    /// Handshakes of unproved addresses that are under way.
    private(set) var underWay = 0
    /// Until when the proof is asked for; nil while it is not, and where the policy leaves nothing to decide.
    private(set) var engagedUntil: Instant?

    init(configuration: QUICConfiguration) {
        policy = configuration.retry
        maxUnderWay = configuration.maxUnvalidatedHandshakes
        hold = .seconds(configuration.retryHold)
        arrivals = TokenBucket(
            burst: configuration.unvalidatedHandshakeBurst,
            perSecond: Double(configuration.unvalidatedHandshakesPerSecond)
        )
        let rate = configuration.retriesPerSecond
        packets = TokenBucket(burst: rate, perSecond: Double(rate))
    }

    /// Counts a newcomer without a proof; true where it must bring one.
    mutating func demandsProof(_ now: Instant) -> Bool {
        switch policy {
        case .off: return false
        case .always: return true
        case .automatic:
            release(now)
            // Each is counted, also while the proof is asked for: that ends when fewer come.
            if !arrivals.take(now) || underWay >= maxUnderWay { engagedUntil = now + hold }
            return engagedUntil != nil
        }
    }

    /// Whether one more Retry packet may be sent in this second.
    mutating func maySend(_ now: Instant) -> Bool {
        packets.take(now)
    }

    /// Lets newcomers in unproved again when it has been quiet for long enough.
    mutating func release(_ now: Instant) {
        if let until = engagedUntil, until <= now { engagedUntil = nil }
    }

    mutating func began() {
        underWay += 1
    }

    mutating func ended() {
        underWay -= 1
    }
}
