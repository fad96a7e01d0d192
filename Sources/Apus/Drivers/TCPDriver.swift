import ApusGateway
import ApusHTTP
import ApusHTTP2
import ApusTLS
import ApusTransport
import Logging

/// Drives one TCP connection: reads, decrypts, lets the protocol engine speak, encrypts, writes.
///
///     handshaking ──▶ serving ──▶ lingering ──▶ closed      (TLS)
///     detecting   ──▶ serving ──▶ lingering ──▶ closed      (plaintext: HTTP/1 or an HTTP/2 preface)
final class TCPDriver: ConnectionDriver {
    enum Stage {
        /// TLS has not agreed yet.
        case handshaking
        /// Plaintext of which too little has come to tell HTTP/2's preface from a request line.
        case detecting
        /// There is a connection.
        case serving
        /// Everything is said; the peer's FIN is awaited, so that what it still sends does not reset what it has not read.
        case lingering
        case closed
    }

    /// Socket reads and writes of one connection in a turn, before the others have theirs.
    static let maxRoundsPerTurn = 16
    /// What a draining server waits for the FIN of a peer to whom it owed nothing.
    private static let drainPatience = TimeSpan.milliseconds(250)

    let socket: TCPSocket
    let listener: ListenerContext
    let tls: TLSSession?
    var stage: Stage
    /// The protocol engine, while the stage is `serving`.
    var connection: TCPProtocol?
    /// What came while the stage was `detecting`; shorter than HTTP/2's preface.
    var firstBytes: [UInt8] = []
    private var lingerDeadline = Instant.distantFuture
    /// What the peer had still to take when that was last looked at.
    private var lingeringBytes = 0
    // Nothing that is called with it comes back to it: the dynamic check would cost a thread-local set of accesses.
    @exclusivity(unchecked)
    var output = OutputBuffer()
    /// Edges of the socket that have been told and not used up.
    var isReadable = false
    var isWritable = true
    var peerHasLeft = false
    var inputHasEnded = false
    /// Whether TLS's close_notify is queued.
    private var hasSaidGoodbye = false
    private let timer: LoopTimer
    private var handshakeDeadline: Instant
    /// Whether the server drains: what is asked still is the last.
    var isDraining = false
    /// Whether responses were under way when the drain began, or have been since: their clients may be reading for a
    /// while yet.
    var owesResponses = false
    /// When the peer must have taken something of the output that waits; nil while none waits.
    private var stallDeadline: Instant?

    init(socket: TCPSocket, listener: ListenerContext, worker: Worker) throws(TLSError) {
        self.socket = socket
        self.listener = listener
        if let context = listener.tlsContext {
            tls = try TLSSession(context: context)
            stage = .handshaking
        } else {
            tls = nil
            stage = .detecting
        }
        timer = LoopTimer(loop: worker.loop)
        handshakeDeadline = worker.loop.now + .seconds(worker.configuration.limits.handshakeTimeout)
        super
            .init(
                worker: worker,
                defaults: listener.defaults,
                info: listener.info(of: socket, tls: nil, rootPath: worker.configuration.rootPath)
            )
    }

    /// Registers with the loop; the first bytes may be there already.
    func start() throws(SystemError) {
        try socket.register(on: worker.loop, handler: self)
        timer.handler = self
        rearm()
    }

    var now: Instant { worker.loop.now }

    // MARK: - What a stream asks for

    override var acceptsFiles: Bool {
        guard let connection else { return false }
        return connection.acceptsFiles
    }

    override func perform(_ event: ResponseEvent, on id: StreamID) {
        guard let connection else { return }
        connection.send(event, on: id)
    }

    override func opened(window count: Int, on id: StreamID) {
        guard let connection else { return }
        connection.consumed(count, on: id)
    }

    override func bufferedOutput(on id: StreamID) -> Int {
        guard let connection else { return 0 }
        return connection.bufferedOutput(on: id)
    }

    override func untakenOutput(on id: StreamID) -> Int {
        bufferedOutput(on: id) + output.count + socket.unacknowledgedBytes
    }

    override func handlerEnded(on id: StreamID) {
        guard let connection else { return }
        connection.applicationEnded(on: id)
    }

    override func shutdown() {
        isDraining = true
        if isBusy { owesResponses = true }
        switch stage {
        case .serving:
            connection?.shutdown(now: now)
        case .lingering:
            if !owesResponses { lingerDeadline = min(lingerDeadline, now + Self.drainPatience) }
        case .handshaking, .detecting, .closed:
            // Whoever has just connected is about to ask: the handshake's time, and the head's, are the bound.
            break
        }
        scheduleFlush()
    }

    /// Whether somebody waits for a response, or for the rest of one.
    private var isBusy: Bool { hasRequests || !output.isEmpty || hasCiphertext }

    override func terminate(_ reason: String) {
        worker.logger.debug("\(info.clientName): \(reason)")
        guard !isBusy else {
            // A truncated response must not look like a whole one.
            abort()
            return
        }
        if stage == .serving { _ = hasSaidEverything() }
        close()
    }

    // MARK: - Output

    override func flush() {
        // What the application took lets the engine go on with bytes that it held, and with those in the socket: these
        // have had their edge, no other comes for them.
        drainEvents()
        read()
        write()
        // What was written may do so too; the others have their turn first.
        if isReadable && wantsInput { scheduleFlush() }
        guard let connection else {
            rearm()
            return
        }
        switch connection.disposition {
        case .open:
            rearm()
        case .close:
            if hasSaidEverything() { finish(connection.connectionError) }
            rearm()
        case .abort:
            if let error = connection.connectionError { logClosing(error.description) }
            abort()
        }
    }

    var hasCiphertext: Bool { tls?.hasOutput ?? false }

    private func write() {
        var rounds = 0
        releaseHeads()
        while isWritable {
            let hasOutput = fillOutput()
            // Even where it has nothing to say, asking the engine may have made events: nobody else would fetch them.
            guard drainEvents() || hasOutput else { break }
            guard rounds < Self.maxRoundsPerTurn else {
                scheduleFlush()
                break
            }
            rounds += 1
            if hasOutput { writeOnce() }
            drainEvents()
            releaseHeads()
        }
        updateStall(progressed: rounds > 0)
    }

    /// Whether there is something to write.
    private func fillOutput() -> Bool {
        if hasCiphertext || !output.isEmpty { return true }
        guard let connection else { return false }
        connection.nextOutput(into: &output, now: now)
        return !output.isEmpty
    }

    private func updateStall(progressed: Bool) {
        if output.isEmpty && !hasCiphertext {
            stallDeadline = nil
        } else if progressed || stallDeadline == nil {
            stallDeadline = now + .seconds(worker.configuration.limits.sendStallTimeout)
        }
    }

    // MARK: - End

    /// Whether all output has reached the socket, TLS's close_notify behind it: a FIN before that would cut it off.
    private func hasSaidEverything() -> Bool {
        guard output.isEmpty && !hasCiphertext else { return false }
        guard let tls, !hasSaidGoodbye else { return true }
        hasSaidGoodbye = true
        tls.close()
        write()
        return !hasCiphertext
    }

    /// Everything is said: FIN, then a short wait for the peer's.
    private func finish(_ error: ConnectionError?) {
        if case .closed = stage { return }
        if let error { logClosing(error.description) }
        clientLeft()
        guard !inputHasEnded else {
            close()
            return
        }
        linger()
    }

    /// FIN, then a wait for the peer's: closing at once would answer what it still sends with a reset, which could take
    /// away what it has not read.
    func linger() {
        socket.shutdownWrite()
        lingeringBytes = socket.unacknowledgedBytes
        let isHurried = isDraining && !owesResponses
        lingerDeadline = now + (isHurried ? Self.drainPatience : lingerTimeout)
        stage = .lingering
        connection = nil
    }

    private var lingerTimeout: TimeSpan { .seconds(worker.configuration.limits.lingerTimeout) }

    /// A peer that still says something while the server drains is reading its last response: the graceful timeout is
    /// its bound.
    func heardWhileLingering() {
        if owesResponses { lingerDeadline = now + lingerTimeout }
    }

    /// A peer that slowly takes what the kernel holds for it is waited for; one that takes nothing is not.
    private func lingerOn() {
        let left = socket.unacknowledgedBytes
        guard left > 0, left < lingeringBytes else {
            close()
            return
        }
        lingeringBytes = left
        lingerDeadline = now + lingerTimeout
    }

    func close() {
        end { socket.close() }
    }

    func abort() {
        end { socket.abort() }
    }

    private func end(_ closeSocket: () -> Void) {
        if stage == .closed { return }
        stage = .closed
        connection = nil
        timer.set(nil)
        closeSocket()
        output.removeAll()
        // What TLS still holds goes nowhere.
        isWritable = false
        isReadable = false
        clientLeft()
        worker.closed(self)
    }

    func logClosing(_ reason: String) {
        worker.logger.info("\(info.clientName): \(reason)")
    }

    // MARK: - Time

    private func rearm() {
        timer.set(deadline)
    }

    private var deadline: Instant? {
        switch stage {
        case .handshaking, .detecting: return handshakeDeadline
        case .lingering: return lingerDeadline
        case .closed: return nil
        case .serving:
            guard let stallDeadline else { return connection?.deadline }
            return min(stallDeadline, connection?.deadline ?? stallDeadline)
        }
    }

    private func handleTimeout(_ now: Instant) {
        switch stage {
        case .handshaking, .detecting:
            logClosing("nothing was asked for within the handshake timeout")
            close()
        case .lingering:
            lingerOn()
        case .closed:
            break
        case .serving:
            if let stallDeadline, stallDeadline <= now {
                logClosing("the peer took nothing of its response within the stall timeout")
                abort()
            } else {
                connection?.handleTimeout(now: now)
                drainEvents()
            }
        }
    }
}

extension TCPDriver: EventHandler {
    func handle(_ events: IOEvents) {
        if events.contains(.writable) { isWritable = true }
        if events.contains(.readable) { isReadable = true }
        if events.tellsTheEnd {
            peerHasLeft = true
            isReadable = true
        }
        flushing { read() }
    }
}

extension TCPDriver: TimerHandler {
    func timerFired(now: Instant) {
        flushing { handleTimeout(now) }
    }
}
