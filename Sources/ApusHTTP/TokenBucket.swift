/// Counts something that a peer may do now and then: so often at once, and so often a second.
package struct TokenBucket {
    private let burst: Double
    private let perSecond: Double
    private var tokens: Double
    private var refilled: Instant?

    package init(burst: Int, perSecond: Double) {
        self.burst = Double(burst)
        self.perSecond = perSecond
        tokens = Double(burst)
    }

    /// Takes a token; false where none is left. A time that goes back refills nothing.
    package mutating func take(_ now: Instant) -> Bool {
        if let refilled {
            tokens = min(burst, tokens + Double(now.since(refilled).nanoseconds) / 1e9 * perSecond)
        }
        refilled = max(refilled ?? now, now)
        guard tokens >= 1 else { return false }
        tokens -= 1
        return true
    }
}
