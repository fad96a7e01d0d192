import ApusGateway
import ApusHTTP
import ApusTLS
import ApusTransport
import Logging

/// One loop with its listeners and connections: everything that serves, on one thread.
///
/// `@unchecked Sendable`: the constants may be read from anywhere; everything else is touched on the loop's thread only,
/// or before it starts.
final class Worker: @unchecked Sendable {
    let loop: EventLoop
    let configuration: Configuration
    let application: any Application
    let logger: Logger
    let accessLog: AccessLog?
    /// Scratch memory for what a read decrypts to; used until the handler returns, as the loop's read buffer is.
    let plaintextBuffer: UnsafeMutableRawBufferPointer
    /// What the application prepared at its startup; set before the first request.
    var state = State()

    private var acceptors: [Acceptor] = []
    private var quicDrivers: [QUICDriver] = []
    private var connections: [ObjectIdentifier: ConnectionDriver] = [:]
    private var isPaused = false
    /// Whether the server goes: what is new is refused.
    private(set) var isDraining = false
    /// WebSockets that are open, or about to be.
    private var webSocketCount = 0
    private var drained: (@Sendable () -> Void)?
    private var graceTimer: LoopTimer?

    /// A listening TCP socket, with what its connections share.
    struct Acceptor {
        let listener: TCPListener
        let context: ListenerContext
    }

    init(configuration: Configuration, application: any Application, logger: Logger) throws(SystemError) {
        loop = try EventLoop(name: "apus-worker")
        self.configuration = configuration
        self.application = application
        self.logger = logger
        accessLog = configuration.accessLog ? AccessLog(logger: logger) : nil
        plaintextBuffer = .allocate(
            byteCount: EventLoop.readBufferBytes + TLSSession.receiveHeadroom,
            alignment: 16
        )
    }

    deinit {
        plaintextBuffer.deallocate()
    }

    // MARK: - Sockets, before the loop starts

    func add(_ listener: TCPListener, _ context: ListenerContext) {
        acceptors.append(Acceptor(listener: listener, context: context))
    }

    func add(_ driver: QUICDriver) {
        quicDrivers.append(driver)
    }

    // MARK: - Connections

    /// Begins to accept; on the loop's thread.
    func startAccepting() throws(SystemError) {
        for acceptor in acceptors {
            try acceptor.listener.start(
                on: loop,
                onAccept: { [unowned self] in accepted($0, by: acceptor.context) },
                onPause: { [unowned self] in logger.warning("accepting pauses: \($0)") }
            )
        }
        for driver in quicDrivers {
            try driver.start()
        }
    }

    private func accepted(_ socket: TCPSocket, by context: ListenerContext) {
        do {
            let driver = try TCPDriver(socket: socket, listener: context, worker: self)
            try driver.start()
            add(driver)
        } catch {
            logger.warning("a connection could not be set up: \(error)")
            socket.close()
        }
    }

    func add(_ driver: ConnectionDriver) {
        connections[ObjectIdentifier(driver)] = driver
        guard connections.count >= configuration.limits.maxConnections, !isPaused else { return }
        isPaused = true
        logger.warning("\(connections.count) connections are open, as many as may be: accepting pauses")
        for acceptor in acceptors { acceptor.listener.pause() }
    }

    /// A connection has ended.
    func closed(_ driver: ConnectionDriver) {
        connections[ObjectIdentifier(driver)] = nil
        if isPaused, !isDraining { resumeAccepting() }
        finishDrainIfEmpty()
    }

    private func resumeAccepting() {
        isPaused = false
        for acceptor in acceptors {
            do {
                try acceptor.listener.resume()
            } catch {
                // The next connection that ends brings another attempt.
                isPaused = true
                logger.error("accepting cannot resume: \(error)")
            }
        }
    }

    // MARK: - WebSockets

    /// Takes one more WebSocket into account; false where there are as many as may be.
    func admitWebSocket() -> Bool {
        guard webSocketCount < configuration.webSocket.maxConnections else { return false }
        webSocketCount += 1
        return true
    }

    /// A WebSocket that was admitted is over, or was denied.
    func webSocketEnded() {
        webSocketCount -= 1
    }

    // MARK: - Drain

    /// Stops accepting, lets requests finish until the graceful timeout, then ends them; calls back when all is over.
    ///
    /// - Parameter code: What open WebSockets are told, which have no end of their own: to go away, or to come again.
    func drain(
        closingWebSocketsWith code: WebSocketCloseCode = .goingAway,
        _ whenDone: @escaping @Sendable () -> Void
    ) {
        isDraining = true
        drained = whenDone
        for acceptor in acceptors {
            // Clients that the kernel has let in already are served, not reset.
            if !isPaused { acceptor.listener.accept(atMost: configuration.backlog) }
            acceptor.listener.close()
        }
        for driver in connections.values {
            driver.closeWebSockets(code)
            driver.shutdown()
        }
        for driver in quicDrivers {
            driver.shutdown()
        }
        let timer = LoopTimer(loop: loop, handler: self)
        timer.set(loop.now + .seconds(configuration.gracefulTimeout))
        graceTimer = timer
        finishDrainIfEmpty()
    }

    /// Ends every connection now.
    func terminateAll(_ reason: String) {
        for driver in connections.values {
            driver.terminate(reason)
        }
    }

    private func finishDrainIfEmpty() {
        guard isDraining, connections.isEmpty, let drained else { return }
        self.drained = nil
        graceTimer?.set(nil)
        drained()
    }
}

extension Worker: TimerHandler {
    func timerFired(now: Instant) {
        logger.warning("\(connections.count) connections are open after the graceful timeout: they end now")
        terminateAll("the graceful timeout is over")
    }
}
