import ApusGateway
import ApusHTTP
import ApusTransport
import Logging

/// One request and its response: what the application's `receive` and `send` act on, whatever the version of HTTP.
///
/// The ordering rules of the contract live here and in `ResponseRules`, once for all protocols. Everything is touched on
/// the loop's thread only; `receive` and `send` come from any thread and hop there (which is what makes the class
/// Sendable). Where the request opens a WebSocket, ``webSocket`` has the rules until it is denied with a response.
///
///     idle ── start ──▶ started ── last body ──▶ complete
///                          │  └── last body, trailers announced ──▶ awaitingTrailers ── trailers ──▶ complete
///                          └── pathSend ──▶ sendingFile ── file read ──▶ complete | awaitingTrailers
///     idle, started, … ── application failed ──▶ failed
final class RequestStream: EventChannel, @unchecked Sendable {
    enum Phase {
        case idle
        case started
        case sendingFile
        case awaitingTrailers
        case complete
        case failed
    }

    // What is touched with each event is read and written in single steps, which cannot overlap: the dynamic checks of
    // exclusivity are off.

    let id: StreamID
    let scope: HTTPScope
    let worker: Worker
    /// What the application and the client say on a WebSocket; nil on HTTP. Set once, by `init`.
    @exclusivity(unchecked) private(set) var webSocket: WebSocketExchange?
    /// The connection's driver, until the application has ended, and its WebSocket where there is one.
    @exclusivity(unchecked) private(set) var driver: ConnectionDriver?
    /// Whether the client has left: nothing more comes, and nothing can be sent.
    @exclusivity(unchecked) private(set) var clientGone = false

    // MARK: The request's side

    /// Body pieces that wait for the application; bounded by the stream's window.
    @exclusivity(unchecked) var waitingBody = BodyQueue()
    /// Whether the request is complete, with its trailers.
    var requestEnded: Bool
    var requestTrailers: Headers?
    /// Whether the application has been told that the request is complete.
    var endDelivered = false
    /// The application's `receive` that waits, at most one.
    @exclusivity(unchecked) var receiver: Waiter<ReceiveEvent>?
    /// Whether a 100 is still owed (RFC 9110 §10.1.1).
    var owesContinue: Bool

    // MARK: The response's side

    var phase = Phase.idle
    /// The head, until the first body or the end of the turn: a body that follows at once gives its length.
    var heldHead: ResponseHead?
    /// What `content-length` leaves to be sent; nil where no length was declared.
    var bodyLeft: Int?
    /// Whether body bytes are dropped: HEAD, 204, 304.
    var dropsBody = false
    /// Whether a piece of the body, or a file in its place, has been sent.
    var bodyStarted = false
    /// Whether the head, as it was sent, ended the response on the wire.
    var headEndedStream = false
    /// Whether the application said that trailers end the response, and whether they go out.
    var announcedTrailers = false
    var sendsTrailers = false
    /// Sends that wait for the client, in the order of their arrival.
    @exclusivity(unchecked) var senders: [SendWaiter] = []
    /// The file that is being read into the response.
    var file: FileReader?

    // MARK: For the log

    var status = 0
    @exclusivity(unchecked) var sentBytes = 0
    let startedAt: Instant
    private var logged = false

    private var task: Task<Void, Never>?
    private(set) var applicationRuns = true
    private var graceTimer: LoopTimer?

    init(id: StreamID, head: RequestHead, driver: ConnectionDriver, worker: Worker) {
        self.id = id
        self.worker = worker
        self.driver = driver
        scope = HTTPScope(head: head, connection: driver.info, state: worker.state)
        requestEnded = !head.hasBody
        owesContinue = head.expectsContinue
        startedAt = worker.loop.now
        if head.isWebSocket { webSocket = WebSocketExchange(stream: self) }
    }

    var loop: EventLoop { worker.loop }

    // MARK: - The application's task

    /// Starts the application; one that never waits has answered when this returns.
    func startApplication() {
        let application = worker.application
        let task: Task<Void, Never>
        switch worker.configuration.executor {
        case .loop:
            task = Task.immediate(executorPreference: loop) { [self] in await run(application) }
        case .global:
            task = Task(executorPreference: globalConcurrentExecutor) { [self] in await run(application) }
        }
        if applicationRuns { self.task = task }
    }

    private func run(_ application: any Application) async {
        let failure: (any Error)?
        do {
            let scope: Scope = webSocket == nil ? .http(scope) : .webSocket(WebSocketScope(request: scope))
            try await application(scope, Receive(self), Send(self))
            failure = nil
        } catch {
            failure = error
        }
        if loop.isOnLoop {
            applicationEnded(failure)
        } else {
            loop.submit { [self] in applicationEnded(failure) }
        }
    }

    /// Answers by itself where the application is not to be called at all.
    func refuse(status: Int, _ headers: Headers) {
        applicationRuns = false
        respond(status: status, headers)
        leaveConnection()
    }

    /// What becomes of the response when the application has returned or thrown (ASGI leaves it open; see `Application`).
    private func applicationEnded(_ failure: (any Error)?) {
        applicationRuns = false
        task = nil
        graceTimer?.set(nil)
        if clientGone { worker.ended(self) }
        if let webSocket, webSocket.isAccepted {
            // The closing handshake outlives the application.
            webSocket.applicationEnded(failure)
            return
        }
        if !clientGone {
            settleResponse(failure)
        } else if let failure, !(failure is ClientDisconnected), !(failure is CancellationError) {
            worker.logger.debug("the application threw after its client had left: \(failure)")
        }
        leaveConnection()
    }

    /// The application runs no more, and nothing is left to say: the connection forgets the stream.
    func leaveConnection() {
        logAccess()
        waitingBody.removeAll()
        let driver = driver
        self.driver = nil
        // A send of a task that the application has left behind: nobody would tell it any more.
        resumeSenders()
        driver?.applicationEnded(on: id)
    }

    private func settleResponse(_ failure: (any Error)?) {
        switch phase {
        case .complete, .failed:
            if let failure { worker.logger.error("the application threw after its response: \(failure)") }
        case .idle:
            worker.logger.error("\(requestLine): \(Self.complaint(failure, "returned without a response"))")
            respond(status: 500)
        case .started, .sendingFile, .awaitingTrailers:
            worker.logger.error("\(requestLine): \(Self.complaint(failure, "returned with its response unfinished"))")
            reset(.internalError)
        }
    }

    static func complaint(_ failure: (any Error)?, _ otherwise: String) -> String {
        failure.map { "the application threw: \($0)" } ?? "the application \(otherwise)"
    }

    /// Tells the client that the response will not be finished: never a clean end of a truncated body.
    func reset(_ reason: StreamReset) {
        phase = .failed
        heldHead = nil
        file = nil
        deliver(lastEvent)
        failSenders(ClientDisconnected())
        driver?.send(.reset(reason), on: id)
    }

    // MARK: - From the driver

    /// The client has left: the application is told, and after the grace its task is cancelled.
    ///
    /// Once the response is complete an application may go on with work of its own.
    func clientLeft() {
        guard !clientGone else { return }
        clientGone = true
        heldHead = nil
        file = nil
        let isLoss: Bool
        if let webSocket, !webSocket.isDenied {
            isLoss = webSocket.clientLeft()
        } else {
            isLoss = phase != .complete
            waitingBody.removeAll()
            deliver(lastEvent)
        }
        failSenders(ClientDisconnected())
        logAccess()
        guard applicationRuns else { return }
        worker.left(self)
        if isLoss { cancelAfterGrace() }
    }

    func cancelTask() {
        task?.cancel()
    }

    /// - Parameter patience: Seconds that the task has at the least.
    func cancelAfterGrace(atLeast patience: Double = 0) {
        let grace = max(worker.configuration.disconnectGrace, patience)
        guard grace > 0 else {
            task?.cancel()
            return
        }
        let timer = LoopTimer(loop: loop, handler: self)
        timer.set(loop.now + .seconds(grace))
        graceTimer = timer
    }

    /// The task may go on.
    func endGrace() {
        graceTimer?.set(nil)
    }

    func logAccess() {
        guard !logged else { return }
        logged = true
        worker.accessLog?.log(self)
    }

    var requestLine: String { "\(scope.method) \(targetAndVersion)" }

    var targetAndVersion: String { "\(AccessLog.escaped(scope.head.target)) HTTP/\(scope.httpVersion)" }
}

extension RequestStream: TimerHandler {
    func timerFired(now: Instant) {
        task?.cancel()
    }
}
