import ApusHTTP

/// When a client must prove its address before its handshake is worked on (RFC 9000 §8.1.2).
package enum QUICRetry: Hashable, Sendable {
    case off
    /// While there are more handshakes without such a proof than ``QUICConfiguration`` allows.
    case automatic
    case always
}

/// What a QUIC endpoint is made from.
package struct QUICConfiguration: Sendable {
    package var limits: Limits
    package var credentials: QUICServerCredentials
    package var secrets: QUICSecrets
    /// Nanoseconds since 1970: address tokens must be understood by other workers, and by later ones.
    package let wallClock: @Sendable () -> UInt64
    /// Whether WebSockets may be opened by extended CONNECT (RFC 9220).
    package var webSockets: Bool
    /// The slot of this worker among those that share the port.
    package var slot = 0
    package var slotCount = 1
    /// The largest UDP payload that is tried; ngtcp2 finds out by itself whether the path carries it.
    package var maxPayloadSize = 1452
    /// Version negotiations and refusals that are sent in one second; what would cause more is dropped.
    package var statelessAnswersPerSecond = 100
    /// Stateless resets that are sent in one second. All clients of a worker that has died wait for theirs; nobody causes
    /// one who does not know an ID of this server's, and it costs a few microseconds.
    package var statelessResetsPerSecond = 10_000

    package var retry = QUICRetry.automatic
    /// Handshakes of clients with unproved addresses that are begun in one second before ``QUICRetry/automatic`` demands
    /// the proof: each costs about a millisecond.
    package var unvalidatedHandshakesPerSecond = 200
    /// How many of them may come at once.
    package var unvalidatedHandshakeBurst = 400
    /// How many of them may be under way at a time: each holds the memory of a connection until it times out.
    package var maxUnvalidatedHandshakes = 1000
    /// Seconds for which the proof is demanded after the last time that one of these bounds was passed.
    package var retryHold = 5.0
    /// Retry packets that are sent in one second: each costs a few microseconds. More are dropped.
    package var retriesPerSecond = 20_000

    /// Seconds in which a client must have answered a Retry packet.
    package var retryTokenLifetime = 10.0
    /// Seconds for which a token of a NEW_TOKEN frame proves an address.
    package var addressTokenLifetime = 86_400.0
    /// Seconds of the wall clock after which tokens are made with another key; those of the period before are understood.
    package var tokenKeyPeriod = 86_400.0

    package init(
        limits: Limits,
        credentials: QUICServerCredentials,
        secrets: QUICSecrets,
        webSockets: Bool = false,
        wallClock: @escaping @Sendable () -> UInt64
    ) {
        self.limits = limits
        self.credentials = credentials
        self.secrets = secrets
        self.webSockets = webSockets
        self.wallClock = wallClock
    }
}
