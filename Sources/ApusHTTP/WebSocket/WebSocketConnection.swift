import ApusGateway

/// What a WebSocket has to tell its application.
package enum WebSocketEvent: Hashable, Sendable {
    /// A message, or a piece of one; `more` says whether it goes on.
    case message(WebSocketMessage, more: Bool)
    /// It is over; nothing follows. The code is the peer's, or 1005 where its Close frame had none; 1006 where none came;
    /// ours where the peer broke a rule.
    case closed(WebSocketCloseCode, reason: String)
}

/// The framing of one WebSocket (RFC 6455 §5, server side), the same behind every opening.
///
/// Bytes of the peer's and the time go in, events and frames come out; it owns no socket and reads no clock. After each
/// input, timeout and change of ``isAwaited`` whoever drives it takes the output while ``nextOutput()`` has some, acts on
/// ``disposition``, and sets a timer for ``deadline``.
///
/// Back-pressure: it takes no more bytes while ``wantsInput`` is false; events are taken as the application asks for them.
/// What it holds is bounded by `maxQueuedMessages` and `maxQueuedBytes`, and by `maxMessageSize` while the application
/// waits. Control frames are seen in their place in the stream, so that a Close is not seen before the messages before it.
///
///                 close(), idle, age                    the peer's Close, closeTimeout, the stream's end
///        open ─────────────────────────► closing ────────────────────────────────────────► ended
///          └── the peer's Close, a fault of the peer's, no pong, the stream's end ───────────►
package final class WebSocketConnection {
    /// How far the WebSocket is on its way to its end.
    enum Phase {
        case open
        /// Our Close frame is made; what still comes is thrown away but for the peer's.
        case closing
        /// Everything is said: what still comes is thrown away.
        case ended
    }

    /// The frame of the peer's whose payload is under way.
    struct IncomingFrame {
        let opcode: FrameOpcode
        let isFinal: Bool
        /// Bytes of the payload that have not come.
        var remaining: Int
        var key: MaskKey
    }

    /// How the message of ours that is under way goes on.
    enum OutgoingMessage {
        /// None is under way.
        case none
        case plain
        /// Its first frame had RSV1.
        case compressed
    }

    /// The largest piece of a message that is delivered in pieces.
    package static let maxPiece = 64 * 1024
    /// Pongs that wait to be taken; from there on, only the newest takes the last place (RFC 6455 §5.5.3).
    package static let maxWaitingPongs = 16

    // Every access is short and none happens within another: the dynamic checks of exclusivity are off for what is
    // touched with each frame.

    let options: WebSocketOptions
    let deflate: PerMessageDeflate?
    let delivery: WebSocketDelivery
    @exclusivity(unchecked) var phase = Phase.open
    @exclusivity(unchecked) var timers: WebSocketTimers

    // What comes.
    @exclusivity(unchecked) var decoder: FrameHeaderDecoder
    @exclusivity(unchecked) var frame: IncomingFrame?
    /// The payload of a control frame so far.
    @exclusivity(unchecked) var controlPayload: [UInt8] = []
    @exclusivity(unchecked) var message: IncomingMessage?
    /// Nil before the first compressed message.
    @exclusivity(unchecked) var inflater: MessageInflater?
    /// Whether the next byte of the payload has been inflated already: see ``inflatePayload(_:)``.
    @exclusivity(unchecked) var isByteAhead = false
    @exclusivity(unchecked) var controlFrames: TokenBucket
    @exclusivity(unchecked) var events = ShortQueue<WebSocketEvent>()
    /// Bytes of the messages in `events`.
    @exclusivity(unchecked) var queuedBytes = 0
    /// Whether the application has a message that it may still answer: it has not asked for another one since.
    @exclusivity(unchecked) var isAnswering = false
    /// What the peer did wrong, as long as messages that came before it may still be answered.
    @exclusivity(unchecked) var heldFault: WebSocketFault?

    // What goes.
    @exclusivity(unchecked) var output = ShortQueue<OutgoingFrame>()
    /// The payload of the frame whose head was taken last.
    @exclusivity(unchecked) var outputPayload: Bytes?
    @exclusivity(unchecked) var pongs = ShortQueue<OutgoingFrame>()
    @exclusivity(unchecked) var pingIsWaiting = false
    @exclusivity(unchecked) var outgoing = OutgoingMessage.none
    /// Nil before the first message.
    @exclusivity(unchecked) var deflater: MessageDeflater?

    /// What to do with the stream once the output is written: `close` ends it in order, `abort` resets it.
    package internal(set) var disposition = Disposition.open
    /// The code that it ended with, as its application is told; nil before.
    package private(set) var closeCode: WebSocketCloseCode?
    /// Why the WebSocket did not end in order, for the log.
    package internal(set) var connectionError: ConnectionError?

    /// - Parameters:
    ///   - deflate: What was agreed on about compression; nil for none.
    ///   - delivery: Whether messages come whole or in pieces.
    package init(options: WebSocketOptions, deflate: PerMessageDeflate?, delivery: WebSocketDelivery, now: Instant) {
        self.options = options
        self.deflate = deflate
        self.delivery = delivery
        timers = WebSocketTimers(options, now: now)
        decoder = FrameHeaderDecoder(allowsCompression: deflate != nil)
        controlFrames = TokenBucket(
            burst: options.controlFrameBurst,
            perSecond: Double(options.controlFrameBurst) / 10
        )
    }

    /// Whether messages can be sent: neither side has said goodbye.
    package var isOpen: Bool { phase == .open }

    // MARK: Back-pressure

    /// Whether the application waits for a message. The one under way may then grow up to `maxMessageSize`; otherwise it
    /// pauses at `maxQueuedBytes`, in the middle of a frame or of inflating, until the application asks for it.
    @exclusivity(unchecked) package var isAwaited = false {
        didSet {
            if isAwaited { answersAreGiven() }
            notePause()
        }
    }

    /// Whether bytes of the peer's are taken.
    package var wantsInput: Bool {
        guard phase == .open, heldFault == nil else { return true }
        return isStarving || events.count < options.maxQueuedMessages && heldBytes < options.maxQueuedBytes
    }

    /// Whether messages wait here or one is under way: the bytes that they came in count against the peer's window. After
    /// our Close frame they do not, so that the peer's can come.
    package var holdsData: Bool {
        phase == .open && (message != nil || !events.isEmpty)
    }

    /// Whether the application waits and there is nothing to give it.
    private var isStarving: Bool { isAwaited && events.isEmpty && !hasPiece }

    /// Whether a piece of the message under way could be delivered.
    private var hasPiece: Bool { delivery == .fragments && (message?.deliverableCount ?? 0) > 0 }

    /// Bytes of the messages that wait here and of the one under way: so much of the peer's window is used up by them.
    package var heldBytes: Int { queuedBytes + (message?.heldCount ?? 0) }

    /// How many bytes the message under way may grow by now.
    var allowance: Int {
        isStarving ? .max : max(options.maxQueuedBytes - heldBytes, 0)
    }

    /// Remembers that the peer was not listened to, so that it is not blamed for its silence.
    func notePause() {
        if !wantsInput { timers.hasPaused = true }
    }

    // MARK: Events

    /// The next thing that the application has to know; nil where there is none.
    package func nextEvent() -> WebSocketEvent? {
        if let event = events.removeFirst() {
            if case .message(let message, _) = event {
                queuedBytes -= message.byteCount
                isAnswering = true
            }
            return event
        }
        guard hasPiece, let piece = message?.takePiece() else { return nil }
        isAnswering = true
        return .message(piece, more: true)
    }

    /// Puts a message, or a piece of one, where the application finds it.
    func deliver(_ message: WebSocketMessage, more: Bool) {
        queuedBytes += message.byteCount
        events.append(.message(message, more: more))
    }

    // MARK: The end

    /// Nothing more comes or goes but what is in the output.
    func end(_ code: WebSocketCloseCode, reason: String, _ disposition: Disposition) {
        phase = .ended
        closeCode = code
        self.disposition = disposition
        timers.stop()
        events.append(.closed(code, reason: reason))
        heldFault = nil
        frame = nil
        controlPayload = []
        deflater = nil
        forgetMessage()
    }

    /// Gives up the message of the peer's that is under way: no other one will be taken.
    func forgetMessage() {
        message = nil
        inflater = nil
        isByteAhead = false
    }
}
