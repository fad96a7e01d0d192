import ApusHTTP

/// What the libraries' callbacks write down about one connection, in a heap allocation of its own.
///
/// The callbacks reach nothing else. While a C call runs, no Swift code outside of the callbacks holds an access to the
/// sink; its owner reads it after the call has returned.
struct ConnectionSink {
    typealias StreamRef = UnsafeMutablePointer<HTTP3Stream>

    /// What happened, in order.
    enum Record {
        /// A request head is complete (or has proved too large).
        case request(StreamRef, hasBody: Bool)
        /// The next so many bytes of ``arena`` are a stream's body.
        case data(StreamRef, count: Int)
        case endOfRequest(StreamRef)
        /// A trailer section broke a limit.
        case trailersTooLarge(StreamRef)
        /// The peer has acknowledged body bytes (their number is with the stream).
        case acknowledged(StreamRef)
        /// A stream's queue has fallen below the low-water mark.
        case writable(StreamRef)
        /// The library wants us to stop reading a stream.
        case stopReading(Int64, UInt64)
        /// The library wants us to reset a stream.
        case resetSending(Int64, UInt64)
        /// The peer has reset its half.
        case peerReset(Int64, UInt64)
        /// The peer no longer wants what we send.
        case peerStopped(Int64)
        /// Both halves of a request's stream are over, the peer's acknowledgements included.
        case closed(StreamRef, UInt64)
        /// The same for a stream that never had a request.
        case closedWithoutRequest
        /// A unidirectional stream of the peer's is over.
        case closedUnidirectional
    }

    /// ngtcp2's connection.
    var quic: OpaquePointer?
    /// nghttp3's connection, once the handshake allows to send.
    var http: OpaquePointer?
    let routing: ConnectionIDRouting
    let staticSecret: [UInt8]
    let limits: Limits
    /// Whether the peer may ask for WebSockets.
    let webSockets: Bool

    /// IDs that ngtcp2 has given out or taken back.
    var issued: [ConnectionID] = []
    var retired: [ConnectionID] = []
    var handshakeCompleted = false
    /// Where the peer has migrated to, as soon as it has proved that the address is its own.
    var provedAddress: SocketAddress?
    /// The HTTP/3 or QPACK error code with which the connection must end.
    var applicationError: UInt64?

    var records: [Record] = []
    /// Body bytes that no event carries yet; the connection's receive window bounds them.
    var arena: [UInt8] = []
    var streams = HTTP3StreamTable()
    /// How many request heads have begun.
    var streamsBegun = 0
    /// How often a stream had nothing to give when the library asked.
    var emptyReads = 0

    init(routing: ConnectionIDRouting, configuration: QUICConfiguration) {
        self.routing = routing
        staticSecret = configuration.secrets.staticSecret
        limits = configuration.limits
        webSockets = configuration.webSockets
    }
}
