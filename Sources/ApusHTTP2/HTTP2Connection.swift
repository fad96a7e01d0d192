import ApusGateway
import ApusHTTP
import CNghttp2

/// A server's side of one HTTP/2 connection: takes bytes and the time, gives stream events and bytes.
///
/// The library frames, compresses and counts windows. What it leaves to its user is here: the limits on fields, what
/// opens which window when, the budget of resets, timeouts and the two steps of a shutdown. A request goes
///
///     header block → .request → .body … → .end      the application's, until its response is whole
///                  ↘ answered here (400, 414, 431, 501), or REFUSED_STREAM
///
/// and one for a WebSocket, which a head that opens a tunnel accepts, until both sides have ended theirs.
///
/// Confined to its loop: not Sendable, no clock, no I/O.
package final class HTTP2Connection {
    /// Frames that may wait, DATA not counted, before we stop reading: a peer that asks and does not listen.
    private static let maxQueuedFrames = 512

    let limits: Limits
    let secure: Bool
    /// Where callbacks write; lives from init to deinit.
    let sink: UnsafeMutablePointer<EventSink>
    let session: HTTP2Session
    var responseFields = ResponseFields()
    /// The allocation of the sink's events while they are handled, and again.
    var spareEvents: [EventSink.Event] = []

    /// What has happened and has not been asked for.
    private var pending: [StreamEvent] = []
    private var pendingHead = 0

    /// Body bytes that applications have not taken, on all streams but tunnels.
    var unconsumed = 0
    /// Body bytes that have come and that the connection's window does not have back.
    var withheld = 0
    /// Requests that were taken and whose streams the library has not closed.
    var admitted = 0
    /// Streams that ended before their response was whole, and tunnels that ended, while their handlers go on.
    var orphans: Set<Int32> = []
    /// Streams that the peer has reset.
    var peerResets: TokenBucket
    /// Streams that the library had to reset because of what the peer did (CVE-2025-8671).
    var provokedResets: TokenBucket
    /// Whether handling events has queued frames.
    var hasQueuedMore = false

    /// Whether the connection has ended before its time: only what tells the peer so goes out.
    var hasFailed = false
    /// Whether the peer's bytes have ended.
    private var hasEnded = false
    package internal(set) var connectionError: ConnectionError?
    var timers: Timers
    /// Whether a shutdown has begun.
    var isDraining = false

    /// - Parameters:
    ///   - secure: Whether the connection runs over TLS: the scheme of its requests.
    ///   - webSockets: Whether WebSockets are served, and the extended CONNECT that asks for them (RFC 8441).
    package init(limits: Limits, secure: Bool, webSockets: Bool = false, now: Instant) {
        self.limits = limits
        self.secure = secure
        sink = .allocate(capacity: 1)
        sink.initialize(to: EventSink(limits: limits, now: now))
        session = HTTP2Session(limits: limits, webSockets: webSockets, sink: sink)
        let resetsPerSecond = Double(limits.streamResetBurst) / 3
        peerResets = TokenBucket(burst: limits.streamResetBurst, perSecond: resetsPerSecond)
        provokedResets = TokenBucket(burst: limits.streamResetBurst, perSecond: resetsPerSecond)
        timers = Timers(limits: limits, now: now)
    }

    deinit {
        // The session goes after this body and calls no callback while it does.
        sink.deinitialize(count: 1)
        sink.deallocate()
    }

    // MARK: - Input

    /// Reads bytes from the peer.
    package func receive(_ bytes: UnsafeRawBufferPointer, now: Instant) {
        guard !hasFailed, !hasEnded, bytes.count > 0 else { return }
        sink.pointee.now = now
        let result = session.receive(bytes)
        handleEvents(now: now)
        if result < 0 { fail(libraryCode: Int32(clamping: result)) }
        trackActivity(now: now)
    }

    /// The peer has ended its side: nobody is left to hear the responses.
    package func receiveEnd(now: Instant) {
        guard !hasEnded else { return }
        hasEnded = true
        if !sink.pointee.streams.live.isEmpty, connectionError == nil {
            connectionError = ConnectionError(.peerGone, "the peer closed the connection with streams open")
        }
        loseStreams()
    }

    /// Whether the driver should read on; false while the peer asks for more than it takes.
    package var wantsInput: Bool {
        !hasFailed && !hasEnded && session.queuedFrames < Self.maxQueuedFrames
    }

    // MARK: - Events

    /// The next thing that has happened.
    package func nextEvent() -> StreamEvent? {
        guard pendingHead < pending.count else { return nil }
        let event = pending[pendingHead]
        pendingHead += 1
        if pendingHead == pending.count {
            pending.removeAll(keepingCapacity: pending.capacity <= 64)
            pendingHead = 0
        }
        return event
    }

    func emit(_ event: StreamEvent) {
        pending.append(event)
    }

    // MARK: - End

    /// What the driver does once the output is written.
    package var disposition: Disposition {
        hasEnded || session.isDone ? .close : .open
    }

    /// Ends the connection with GOAWAY; every live stream is lost.
    func fail(_ error: ConnectionError, code: nghttp2_error_code) {
        guard !hasFailed else { return }
        if connectionError == nil { connectionError = error }
        session.terminate(code: code.rawValue)
        loseStreams()
    }

    /// Ends the connection because the library cannot go on with what came.
    private func fail(libraryCode code: Int32) {
        let text = HTTP2Session.text(ofReturnCode: code)
        switch code {
        case NGHTTP2_ERR_FLOODED.rawValue, NGHTTP2_ERR_TOO_MANY_CONTINUATIONS.rawValue:
            let error = ConnectionError(.limitExceeded, "HTTP/2 ENHANCE_YOUR_CALM: \(text)")
            fail(error, code: NGHTTP2_ENHANCE_YOUR_CALM)
        case NGHTTP2_ERR_NOMEM.rawValue, NGHTTP2_ERR_CALLBACK_FAILURE.rawValue:
            failInternally(text)
        default:
            fail(ConnectionError(.protocolViolation, "HTTP/2 PROTOCOL_ERROR: \(text)"), code: NGHTTP2_PROTOCOL_ERROR)
        }
    }

    /// Ends the connection because of a fault of ours.
    func failInternally(_ text: String) {
        fail(ConnectionError(.internalError, "HTTP/2 INTERNAL_ERROR: \(text)"), code: NGHTTP2_INTERNAL_ERROR)
    }

    /// Tells every application that its client has gone.
    func loseStreams() {
        hasFailed = true
        for stream in sink.pointee.streams.live where stream.pointee.isDelivered && !stream.pointee.isTakenOver {
            stream.pointee.isTakenOver = true
            emit(.reset(StreamID(UInt64(stream.pointee.id)), .connectionLost))
        }
    }
}
