import ApusGateway
import ApusHTTP

/// Where the record of one stream lives; the library carries the pointer as the stream's user data.
typealias StreamPointer = UnsafeMutablePointer<HTTP2Stream>

/// What the engine knows of one stream, from its first HEADERS frame until the library has closed it.
struct HTTP2Stream: ~Copyable {
    let id: Int32
    /// Where the record stands among the pool's live ones.
    var position = 0

    // MARK: Request

    /// The head as it comes in; nil once it has been handed over or answered.
    var request: RequestFields? = RequestFields()
    /// The trailers as they come in.
    var trailers: FieldSection?
    /// Whether the request counts as one of the connection's.
    var isAdmitted = false
    /// Whether the client has said how urgent the response is.
    var hasPriority = false
    /// The urgency where it is not left to the library (RFC 9218 §4.1): the default, or what asked for a WebSocket.
    var urgency: UInt32 = 3
    /// Whether the application has the request.
    var isDelivered = false
    /// Whether the peer has ended the request.
    var requestEnded = false
    /// Body bytes that the application has not taken yet.
    var unconsumed = 0

    // MARK: Response

    /// The engine answers the stream itself, or has reset it: the application has no say any more.
    var isTakenOver = false
    /// Whether the head of the final response has been given to the library.
    var hasHead = false
    /// Whether the head has opened a tunnel: both bodies are a WebSocket's bytes, and each side ends its own.
    var isTunnel = false
    /// Body bytes that wait for the peer's window.
    var body = BodyQueue()
    /// Whether nothing comes behind what `body` holds, but for `responseTrailers`.
    var bodyIsComplete = false
    /// The trailers that end the response.
    var responseTrailers: Headers?
    /// Whether the library has been told to wait for more of the body.
    var isDeferred = false
    /// Whether `body` went above the high-water mark and has not fallen below the low one since.
    var isAboveHighWater = false
    /// Whether END_STREAM has gone out: the response is whole.
    var responseIsSent = false
    /// When the peer last took something of the body, or it began to wait.
    var lastProgress = Instant(nanoseconds: 0)

    /// Whether something of the response waits to go out; its end needs an open window too.
    var isSending: Bool { body.count > 0 || bodyIsComplete && !responseIsSent }

    // MARK: End

    /// Whether RST_STREAM is our own doing, and not the library's answer to what the peer did.
    var resetIsOurs = false
    /// Whether the library has closed the stream; the record lives until the owner has seen that.
    var isClosed = false
    /// Whether the application's handler has ended.
    var applicationEnded = false
}

/// The records of a connection's live streams.
///
/// A record must not move while the library holds its address, so each has an allocation of its own; a few are kept for
/// the next streams.
struct StreamPool: ~Copyable {
    /// How many unused allocations are kept.
    private static let spareLimit = 32

    private(set) var live: [StreamPointer] = []
    private var spare: [StreamPointer] = []

    init() {}

    deinit {
        for stream in live {
            stream.deinitialize(count: 1)
            stream.deallocate()
        }
        for stream in spare {
            stream.deallocate()
        }
    }

    /// A record for a new stream.
    mutating func make(id: Int32) -> StreamPointer {
        let stream = spare.popLast() ?? StreamPointer.allocate(capacity: 1)
        stream.initialize(to: HTTP2Stream(id: id, position: live.count))
        live.append(stream)
        return stream
    }

    /// Ends a record; the library must not hold its address any more.
    mutating func release(_ stream: StreamPointer) {
        let position = stream.pointee.position
        let last = live.removeLast()
        if last != stream {
            live[position] = last
            last.pointee.position = position
        }
        stream.deinitialize(count: 1)
        if spare.count < Self.spareLimit {
            spare.append(stream)
        } else {
            stream.deallocate()
        }
    }
}
