import ApusHTTP

/// How far a drain has come.
enum DrainStep {
    /// Seconds of ``Configuration/disconnectGrace`` that count: an end must be in sight.
    static let longestGrace = 5.0
    /// Seconds that applications have to end once they are cancelled.
    static let cancellationPatience = 1.0

    /// Requests may finish.
    case serving
    /// Connections have ended; applications know that their clients are gone.
    case parting
    /// Applications are cancelled.
    case cancelled
}

extension Configuration {
    /// Seconds that applications have between the end of their connections and their cancellation.
    var partingGrace: Double { min(disconnectGrace, DrainStep.longestGrace) }

    /// How long the application's shutdown may take: as long as the last requests might. A year stands for ever.
    var lifespanPatience: TimeSpan { .seconds(min(gracefulTimeout, 365 * 86_400)) }

    /// How long a server takes at most from its being told to drain to its end: the steps of the drain, one after the
    /// other, and the application's shutdown.
    package var longestEnd: TimeSpan {
        let drain = gracefulTimeout + partingGrace + DrainStep.cancellationPatience
        return (Instant(nanoseconds: 0) + .seconds(drain) + lifespanPatience).since(Instant(nanoseconds: 0))
    }
}
