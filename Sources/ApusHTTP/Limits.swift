/// Every bound that a connection keeps, for all versions of HTTP. Sizes are in bytes.
public struct Limits: Sendable, Hashable {
    /// Fields of a request head, and of its trailers; the next one is answered with 431.
    public var maxFieldCount = 500
    /// Names and values of a request head (or its trailers), 32 counted on top for each field (RFC 9113 §6.5.2).
    public var maxFieldSectionSize = 32 * 1024
    /// HTTP/1: the request line; a longer one is answered with 414. Everywhere: the request target.
    public var maxRequestLineSize = 16 * 1024
    /// HTTP/1: the extensions of all chunks of a body.
    public var maxChunkExtensionsSize = 16 * 1024
    /// Body bytes of one stream that wait for the application; the peer's window (HTTP/1: the socket) closes there.
    public var streamReceiveWindow = 256 * 1024
    /// Body bytes of a whole connection that wait for applications before its window follows consumption.
    public var connectionReceiveWindow = 1024 * 1024
    /// Response bytes of a stream that may wait for the peer before `send` suspends.
    public var streamSendHighWater = 256 * 1024
    /// Response bytes of a stream below which a suspended `send` goes on.
    public var streamSendLowWater = 64 * 1024
    /// Streams that a peer may have open on one connection (HTTP/2, HTTP/3).
    public var maxConcurrentStreams = 100
    /// Unread body that is taken and thrown away after a response; past it the connection closes (HTTP/1), or the
    /// stream's window is no longer opened (HTTP/3).
    public var maxDrainedBodySize = 256 * 1024
    /// Streams reset by the peer before their time: as many at once, and a third of it each second (HTTP/2, HTTP/3).
    public var streamResetBurst = 100
    /// Connections that one worker (a process, or a loop of one) keeps open at a time; more wait in the listen queue, and
    /// those over QUIC are refused.
    public var maxConnections = 100_000

    /// Seconds from a connection's opening to the end of its TLS or QUIC handshake.
    public var handshakeTimeout = 10.0
    /// Seconds from the first byte of a request head to its end (HTTP/1), or to a connection's first request.
    public var headTimeout = 10.0
    /// Seconds that a connection without requests is kept (HTTP/1 and HTTP/2).
    public var keepAliveTimeout = 75.0
    /// Seconds that a QUIC connection may be silent.
    public var quicIdleTimeout = 30.0
    /// Seconds without a byte taken by the peer while output waits.
    public var sendStallTimeout = 60.0
    /// Seconds without a byte of a request body while the application waits for it.
    public var bodyStallTimeout = 60.0
    /// Seconds that a client has to end its request once the response is whole, before it is told to stop (HTTP/3).
    public var earlyAnswerPatience = 1.0
    /// Seconds that a closed TCP connection waits for the peer's FIN.
    public var lingerTimeout = 2.0

    public init() {}
}
