import ApusHTTP

/// Allows a burst of events, and then so many a second.
struct TokenBucket {
    private let burst: Double
    private let perSecond: Double
    private var tokens: Double
    private var updated: Instant?

    init(burst: Int, perSecond: Double) {
        self.burst = Double(burst)
        self.perSecond = perSecond
        tokens = Double(burst)
    }

    /// Whether one more event is allowed now.
    mutating func take(_ now: Instant) -> Bool {
        if let updated {
            tokens = min(burst, tokens + Double(now.since(updated).nanoseconds) / 1e9 * perSecond)
        }
        updated = now
        guard tokens >= 1 else { return false }
        tokens -= 1
        return true
    }
}
