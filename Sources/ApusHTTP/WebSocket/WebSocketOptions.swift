/// Whether and how a server speaks WebSocket, with every bound that one keeps. Sizes are in bytes, times in seconds; where
/// a time may be nil, 0 says the same.
public struct WebSocketOptions: Sendable, Hashable {
    /// Whether WebSockets are served: by Upgrade on HTTP/1.1, by extended CONNECT on HTTP/2 and HTTP/3.
    public var isEnabled = true
    /// Whether permessage-deflate is agreed to (RFC 7692).
    public var perMessageDeflate = true
    /// The origins whose pages may open a WebSocket, as the `origin` field has them (`https://example.org`); a request
    /// with another one, or without one, is answered with 403. Nil asks nobody: an application that knows its users by
    /// a cookie should say whose pages may speak for them (RFC 6455 §10.2).
    public var allowedOrigins: [String]?

    /// A message, measured after inflation; a longer one is closed with 1009.
    public var maxMessageSize = 16 * 1024 * 1024
    /// The payload of one frame as it is on the wire; a longer one is closed with 1009.
    public var maxFrameSize = 16 * 1024 * 1024
    /// Frames of one message; one more is closed with 1009.
    public var maxFragments = 128 * 1024
    /// Messages that wait for the application before the peer's window (HTTP/1: the socket) closes.
    public var maxQueuedMessages = 32
    /// Inflated bytes that wait for the application, likewise.
    public var maxQueuedBytes = 256 * 1024
    /// Pings and pongs of the peer's that are taken at once, and a tenth of it each second; more are closed with 1008.
    public var controlFrameBurst = 1000
    /// Memory that the contexts of one WebSocket's compression may take; what does not fit is agreed on without
    /// context take-over.
    public var maxCompressionMemory = 128 * 1024
    /// WebSockets that one worker (a process, or a loop of one) keeps open at a time; one more is answered with 503.
    public var maxConnections = 100_000

    /// Seconds since the peer was last heard, or since our last ping, until the next one; nil for none.
    public var pingInterval: Double? = 20
    /// Seconds that a ping may wait for its pong while we read; nil waits for ever.
    public var pingTimeout: Double? = 20
    /// Seconds that a peer has to answer our Close frame.
    public var closeTimeout = 10.0
    /// Seconds without a message in either direction; then 1001. Nil for no such bound.
    public var idleTimeout: Double?
    /// Seconds that a WebSocket may be open; then 1001. Nil for no such bound.
    public var maxAge: Double?

    public init() {}
}
