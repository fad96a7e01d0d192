import ApusHTTP

/// What a QUIC endpoint is made from.
package struct QUICConfiguration: Sendable {
    package var limits: Limits
    package var credentials: QUICServerCredentials
    package var secrets: QUICSecrets
    /// Whether WebSockets may be opened by extended CONNECT (RFC 9220).
    package var webSockets: Bool
    /// The slot of this worker among those that share the port.
    package var slot = 0
    package var slotCount = 1
    /// The largest UDP payload that is tried; ngtcp2 finds out by itself whether the path carries it.
    package var maxPayloadSize = 1452
    /// Stateless resets and version negotiations that are answered in one second; more are dropped.
    package var statelessAnswersPerSecond = 100

    package init(
        limits: Limits,
        credentials: QUICServerCredentials,
        secrets: QUICSecrets,
        webSockets: Bool = false
    ) {
        self.limits = limits
        self.credentials = credentials
        self.secrets = secrets
        self.webSockets = webSockets
    }
}
