import ApusGateway
import ApusHTTP
import ApusTransport
import Logging

/// What the application and the client say on one WebSocket, whatever version of HTTP opened it.
///
/// Part of a ``RequestStream``, whose `receive`, `send` and response it shares: a denial is an ordinary response. It owns
/// the framing from the acceptance on, and outlives the application's task until the closing handshake is over. Confined
/// to the loop's thread, as its stream is.
///
///     connecting ── accept ──▶ open ── both have said goodbye ──▶ ending ── the peer's end, or closeTimeout ──▶ over
///         │                     └── the peer is lost, or silent ────────────────────────────────────────────▶ over
///         ├── a response, or a close ──▶ denied
///         └── the client leaves ──▶ over
///
/// Bytes of the peer's that are not wanted yet wait in the stream's `waitingBody`, within its window.
final class WebSocketExchange {
    enum Phase {
        /// The application has not decided; nothing of the peer's is read.
        case connecting
        /// The request's answer is a response like any other.
        case denied
        /// Frames go both ways; our goodbye may be said.
        case open
        /// Our side of the stream has ended, the peer's has not.
        case ending
        /// There is no stream any more. What has come can still be received.
        case over
    }

    // What is touched with each message is read and written in single steps, which cannot overlap: the dynamic checks of
    // exclusivity are off.

    /// Whose part this is. Unchecked, because it is used with each message: only the stream calls this object, and is alive
    /// as long as it does; the timer's call keeps it alive itself.
    unowned(unsafe) let stream: RequestStream
    @exclusivity(unchecked) var phase = Phase.connecting
    /// Until the decision.
    var handshake: WebSocketHandshake?
    /// From the acceptance on.
    @exclusivity(unchecked) var connection: WebSocketConnection?
    private var timer: LoopTimer?
    /// What the timer is set to.
    @exclusivity(unchecked) private var armedFor = Instant.distantFuture
    /// Whether it counts among the worker's WebSockets.
    private var isCounted = false

    // MARK: The peer's side

    /// Whether the application has been told of the opening.
    var hasToldConnect = false
    /// Bytes that the framing has taken, and that still count against the peer's window.
    @exclusivity(unchecked) var owedCredit = 0
    /// Whether the peer has ended its side, or is lost.
    @exclusivity(unchecked) var inputHasEnded = false
    /// What the application is told for ever, once it was told of the end, or as soon as nothing waits for it.
    @exclusivity(unchecked) var farewell: ReceiveEvent?

    /// Whether the application has received a message.
    var hasTakenMessage = false
    /// Whether the application knows that it is over: it was told, or has closed by itself. After a goodbye it may then take
    /// its time; a loss cancels its task all the same.
    var knowsOfEnd = false

    // MARK: Our side

    /// Which kind of message the application goes on with; nil between messages.
    var unfinished: MessageKind?
    /// When the end of the stream must have been reached, once both sides have said goodbye.
    var endDeadline: Instant?
    private var hasToldFault = false
    /// What the peer had still to take when its Close frame was last looked for.
    private var untakenOutput = Int.max

    init(stream: RequestStream) {
        self.stream = stream
    }

    var options: WebSocketOptions { stream.worker.configuration.webSocket }
    var now: Instant { stream.loop.now }

    /// Whether the application has accepted.
    var isAccepted: Bool { connection != nil }

    var isDenied: Bool { phase == .denied }

    // MARK: - The opening

    /// Checks what the server itself asks of an opening; where that is not met, answers, and the application is not called.
    func isAdmitted() -> Bool {
        guard !stream.worker.isDraining || stream.worker.othersStay else {
            refuse(503, "the server is about to end")
            return false
        }
        do {
            handshake = try WebSocketHandshake(stream.scope.head, options: options)
        } catch {
            refuse(error.status, error.reason, error.headers)
            return false
        }
        guard stream.worker.admitWebSocket() else {
            refuse(503, "as many WebSockets are open as may be")
            return false
        }
        isCounted = true
        return true
    }

    private func refuse(_ status: Int, _ reason: String, _ headers: Headers = Headers()) {
        log(reason)
        stream.refuse(status: status, headers)
    }

    /// The request's answer has begun, and it is no acceptance.
    func denied() {
        phase = .denied
        handshake = nil
        leaveCount()
    }

    /// The framing begins.
    func open(_ delivery: WebSocketDelivery, _ deflate: PerMessageDeflate?) {
        handshake = nil
        let opened = WebSocketConnection(options: framingOptions, deflate: deflate, delivery: delivery, now: now)
        // Another task of the application's may be waiting for the first message already.
        opened.isAwaited = stream.receiver != nil
        connection = opened
        timer = LoopTimer(loop: stream.loop, handler: self)
        phase = .open
        advance()
        // Refused, the opening would have failed; like this the client comes again, to another worker.
        if stream.worker.isDraining { leave(stream.worker.farewellCode) }
    }

    /// The options as the framing keeps them: it must have had enough before the peer's window can be shut, or it would take
    /// a peer that may not send its pong for a silent one. HTTP/2 and QUIC open a window again only by halves.
    private var framingOptions: WebSocketOptions {
        var options = options
        options.maxQueuedBytes = min(options.maxQueuedBytes, stream.worker.configuration.limits.streamReceiveWindow / 2)
        return options
    }

    // MARK: - The end

    /// The application has returned or thrown, after it accepted.
    func applicationEnded(_ failure: (any Error)?) {
        guard let connection else { return }
        if phase == .open, connection.isOpen {
            connection.close(codeAfterApplication(failure), reason: "", now: now)
        } else if let failure, !(failure is ClientDisconnected), !(failure is CancellationError) {
            stream.worker.logger.error("\(stream.requestLine): the application threw after its WebSocket: \(failure)")
        }
        guard phase != .over else {
            stream.leaveConnection()
            return
        }
        // Nobody will take what waits.
        while connection.nextEvent() != nil {}
        advance()
    }

    private func codeAfterApplication(_ failure: (any Error)?) -> WebSocketCloseCode {
        guard failure != nil || unfinished != nil else { return .normalClosure }
        let complaint = RequestStream.complaint(failure, "returned within a message")
        stream.worker.logger.error("\(stream.requestLine): \(complaint)")
        return .internalError
    }

    /// The server goes: an open WebSocket is closed. An opening that is not decided is refused; where other workers stay it
    /// goes on, to be closed then.
    func leave(_ code: WebSocketCloseCode) {
        switch phase {
        case .connecting:
            guard !stream.worker.othersStay else { return }
            farewell = .webSocketDisconnect(code: code, reason: "")
            log("the server is about to end")
            stream.respond(status: 503)
        case .open:
            guard let connection, connection.isOpen else { return }
            farewell = .webSocketDisconnect(code: code, reason: "")
            connection.close(code, reason: "", now: now)
            advance()
        case .denied, .ending, .over:
            return
        }
    }

    /// The client is gone.
    ///
    /// - Returns: Whether it left the application in the middle of something, and without a word.
    func clientLeft() -> Bool {
        inputHasEnded = true
        guard let connection else {
            farewell = .webSocketDisconnect(code: .abnormalClosure, reason: "")
            handshake = nil
            end()
            if hasToldConnect { stream.deliver(lastEvent) }
            return true
        }
        guard phase != .over else { return false }
        readInput(connection)
        tellFault(connection)
        end()
        return connection.isOpen
    }

    /// There is no stream any more.
    func end() {
        phase = .over
        timer?.set(nil)
        leaveCount()
        stream.failSenders(ClientDisconnected())
        guard let connection else { return }
        stream.worker.accessLog?.logEnd(ofWebSocket: stream, connection.closeCode ?? .abnormalClosure)
        if !stream.applicationRuns {
            stream.leaveConnection()
        } else if !knowsOfEnd {
            // It may be waiting for something else, for ever. One that knows may take its time.
            stream.cancelAfterGrace(atLeast: isAtWork(connection) ? options.closeTimeout : 0)
        }
    }

    /// Whether the application may be at work on what the client has said before its goodbye, which does not take it back.
    private func isAtWork(_ connection: WebSocketConnection) -> Bool {
        connection.closeCode != .abnormalClosure && (hasTakenMessage || connection.heldBytes > 0)
    }

    private func leaveCount() {
        guard isCounted else { return }
        isCounted = false
        stream.worker.webSocketEnded()
    }

    // MARK: - Turns

    /// Takes everything as far as it goes now; called after each input to the framing.
    func advance() {
        guard let connection else { return }
        readInput(connection)
        giveCredit(connection)
        writeOutput(connection)
        rearm(connection)
    }

    private func rearm(_ connection: WebSocketConnection) {
        guard phase != .over else { return }
        let deadline = min(connection.deadline ?? .distantFuture, endDeadline ?? .distantFuture)
        guard deadline != armedFor else { return }
        armedFor = deadline
        timer?.set(deadline == .distantFuture ? nil : deadline)
    }

    // MARK: - For the log

    /// Says what the peer did wrong, if anything; once.
    func tellFault(_ connection: WebSocketConnection) {
        guard !hasToldFault, let error = connection.connectionError else { return }
        hasToldFault = true
        // Clients leave all the time.
        guard error.kind != .peerGone else { return }
        log(error.description)
    }

    private func log(_ reason: String) {
        let client = stream.scope.client?.description ?? "a client"
        stream.worker.logger.info("\(client): \(stream.requestLine): \(reason)")
    }
}

extension WebSocketExchange: TimerHandler {
    func timerFired(now: Instant) {
        guard let connection else { return }
        armedFor = .distantFuture
        // The end of a WebSocket may be that of its stream.
        let stream = stream
        defer { withExtendedLifetime(stream) {} }
        if let endDeadline, endDeadline <= now {
            stream.driver?.send(.reset(.cancelled), on: stream.id)
            end()
            return
        }
        if !connection.isOpen, let deadline = connection.deadline, deadline <= now, peerStillReads() {
            connection.awaitCloseOn(now: now)
        } else {
            connection.handleTimeout(now: now)
        }
        advance()
    }

    /// Whether the peer, which cannot answer what it has not read, has taken more of what comes before our Close frame.
    private func peerStillReads() -> Bool {
        let left = stream.driver?.untakenOutput(on: stream.id) ?? 0
        defer { untakenOutput = left }
        return left > 0 && left < untakenOutput
    }
}
