import ApusGateway
import ApusHTTP

/// One request and its response.
///
/// Streams live in memory of their own, because nghttp3's callbacks find them by pointer; the connection's
/// ``HTTP3StreamTable`` owns them.
struct HTTP3Stream {
    var id: Int64 = -1

    // MARK: Request
    var method = ""
    var target = Bytes()
    var headers = Headers()
    var trailers: Headers?
    var contentLength: Int?
    var hasAuthority = false
    var expectsContinue = false
    var acceptsTrailers = false
    /// Extended CONNECT with `:protocol` websocket.
    var isWebSocket = false
    /// Fields and bytes of the section that is being received.
    var sectionFields = 0
    var sectionSize = 0
    /// The status that answers a request which is not passed on; 0 where it is.
    var refusal = 0
    /// Whether the request contradicts itself in a way that nghttp3 does not check.
    var isMalformed = false
    /// Whether a trailer section broke a limit, so that the rest of it is not kept.
    var trailersAreTooLarge = false
    /// The application knows of this stream.
    var isDelivered = false
    /// The whole request has arrived.
    var requestEnded = false
    /// Body bytes are thrown away as they arrive.
    var discardsBody = false
    /// When the peer was asked to stop sending; nil where it was not.
    var stoppedAt: Instant?
    /// Body bytes that were thrown away and for which the stream's window was opened all the same.
    var drained = 0
    /// When the response was whole, where the request was not by then; nil again once the peer is told to stop.
    var answeredEarlyAt: Instant?
    /// Body bytes that the application has not consumed.
    var unconsumed = 0

    // MARK: Response
    var body = BodyQueue()
    var headSubmitted = false
    /// Nothing will be added to the body.
    var bodyEnded = false
    /// The response has accepted a WebSocket.
    var isTunnel = false
    /// A tunnel that still counts among those for which the connection is kept alive.
    var keepsConnection = false
    var trailersFollow = false
    /// nghttp3 has asked for body bytes in vain and must be told of new ones.
    var isStarved = false
    /// More waits than the high-water mark allows; `writable` is owed.
    var isAboveHighWater = false
    /// Acknowledged bytes that the queue has not given up yet.
    var acknowledged = 0
    /// QUIC has taken the end of the response.
    var finSent = false
    /// Our half is reset: by us, or by QUIC because the peer asked for it.
    var wasReset = false
    /// One side has given the stream up, and that was counted if it was the peer.
    var isGivenUp = false

    // MARK: Life
    /// When the peer last took a byte of the response, or its sending began; before that, when the head was seen.
    var progress = Instant(nanoseconds: 0)
    /// The application was told that the stream is lost; it hears no more of it.
    var resetDelivered = false
    /// The application's task is over.
    var applicationEnded = false
    /// The peer has its place back although QUIC has not closed the stream.
    var isLetGo = false
    /// Both halves are over and nghttp3 has forgotten the stream.
    var isClosed = false

    /// Whether the application has something left to lose: the rest of its response, or of what a tunnel's peer sends.
    var isUnfinished: Bool { !finSent || (isTunnel && !requestEnded) }

    /// Makes a used stream as good as new, but for the memory of its queue.
    mutating func clear() {
        var queue = BodyQueue()
        swap(&queue, &body)
        queue.removeAll()
        self = HTTP3Stream()
        swap(&queue, &body)
    }
}
