import ApusHTTP

/// Counts something that a peer may do now and then: so often at once, and so often a second.
struct TokenBucket {
    private let capacity: Double
    private let perSecond: Double
    private var tokens: Double
    private var refilled: Instant

    init(capacity: Int, perSecond: Double, now: Instant) {
        self.capacity = Double(capacity)
        self.perSecond = perSecond
        tokens = Double(capacity)
        refilled = now
    }

    /// Takes a token; false where none is left.
    mutating func take(now: Instant) -> Bool {
        tokens = min(capacity, tokens + Double(now.since(refilled).nanoseconds) / 1e9 * perSecond)
        refilled = max(refilled, now)
        guard tokens >= 1 else { return false }
        tokens -= 1
        return true
    }
}
