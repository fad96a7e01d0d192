import ApusGateway
import ApusHTTP

/// What the library's callbacks leave for their connection, in an allocation of its own.
///
/// Callbacks reach nothing else. The connection reads it after the library's function has returned, so that nobody
/// looks at it while a callback writes.
struct EventSink: ~Copyable {
    /// Something that has happened, in order.
    enum Event {
        /// A request head is complete, and perhaps all of the request with it.
        case head(StreamPointer, endsRequest: Bool)
        /// A piece of a request body.
        case data(StreamPointer, Bytes)
        /// The request is complete, with or without trailers.
        case requestEnd(StreamPointer)
        /// The library has closed the stream: the last event with this record.
        case closed(StreamPointer, code: UInt32)
        /// END_STREAM has gone out before the request was complete.
        case answeredEarly(StreamPointer)
        /// The body has gone out and the trailers are due.
        case trailersDue(StreamPointer)
        /// The library could not send the response's head.
        case headNotSent(StreamPointer)
        /// What waits on a stream has fallen below the low-water mark.
        case writable(StreamPointer)
        /// The peer has reset a stream.
        case peerReset
        /// The library has reset a stream because of what the peer did.
        case provokedReset
        /// GOAWAY has gone out.
        case goawaySent(code: UInt32, reason: String)
        /// The peer has answered our PING.
        case pingAnswered
    }

    var events: [Event] = []
    var streams = StreamPool()
    /// The stream whose header block is coming in.
    var openBlock: StreamPointer?
    /// Output of the call under way.
    var output = OutputBuffer()
    /// The time of the call under way.
    var now: Instant
    /// The library's word for the last frame that it could not accept.
    var lastInvalid: Int32 = 0
    let limits: Limits

    init(limits: Limits, now: Instant) {
        self.limits = limits
        self.now = now
    }
}
