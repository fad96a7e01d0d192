import ApusGateway
import ApusHTTP
import ApusHTTP3
import ApusTLS
import ApusTransport
import Logging

/// One loop with its sockets and connections: everything that serves, on one thread.
///
/// `@unchecked Sendable`: the constants may be read from anywhere; everything else is touched on the loop's thread only,
/// or before it starts.
final class Worker: @unchecked Sendable {
    /// From one log line about too many connections to the next.
    private static let reportInterval = TimeSpan.seconds(10)

    let loop: EventLoop
    let configuration: Configuration
    let application: any Application
    let logger: Logger
    let accessLog: AccessLog?
    /// Scratch memory for what a read decrypts to; used until the handler returns, as the loop's read buffer is.
    let plaintextBuffer: UnsafeMutableRawBufferPointer
    /// What the application prepared at its startup; set before the first request.
    var state = State()
    /// Requests so far.
    @exclusivity(unchecked)
    var requestCount = 0

    /// Whether the sockets are this process's alone; those of a supervisor outlive the worker, and have other readers.
    let isStandalone: Bool
    /// The slot that this worker reads, how many there are, and the places where it serves, by their numbers.
    private let slot: Int
    private let slotCount: Int
    private(set) var places: [Int: ServedPlace] = [:]
    /// The way to the workers of other slots, where there are any.
    private(set) var forwarding: SlotForwarding?
    /// The worker's own slot first, then those that it has adopted.
    var intakes: [SlotIntake] = []
    /// Whether this is the worker that reads the UDP sockets that several have.
    private var isReader: Bool

    var connections: [ObjectIdentifier: ConnectionDriver] = [:]
    var isPaused = false
    private var nextPauseReport = Instant(nanoseconds: 0)
    private var isAccepting = false
    /// Whether the server goes: what is new is told so.
    var isDraining = false
    /// Whether it goes while other workers of the server stay.
    var othersStay = false
    /// Connections that have agreed on a version, by that, and WebSockets that are open, or about to be.
    private var counts = WorkerReport()
    var drained: (@Sendable () -> Void)?
    var drainStep = DrainStep.serving
    var drainTimer: LoopTimer?
    /// Applications that go on without their connections.
    var leftApplications: [ObjectIdentifier: RequestStream] = [:]

    /// - Parameter isStandalone: Whether the sockets are closed when the server drains.
    init(
        configuration: Configuration,
        application: any Application,
        logger: Logger,
        membership: Membership,
        isStandalone: Bool
    ) throws {
        loop = try EventLoop(name: isStandalone && membership.slot > 0 ? "apus-\(membership.slot)" : "apus-worker")
        self.configuration = configuration
        self.application = application
        self.logger = logger
        accessLog = configuration.accessLog ? AccessLog(logger: logger) : nil
        plaintextBuffer = .allocate(
            byteCount: EventLoop.readBufferBytes + TLSSession.receiveHeadroom,
            alignment: 16
        )
        self.isStandalone = isStandalone
        slot = membership.slot
        slotCount = membership.slotCount
        isReader = isStandalone && membership.slot == 0
        try prepare(membership)
    }

    deinit {
        plaintextBuffer.deallocate()
    }

    private func prepare(_ membership: Membership) throws {
        let entries = membership.sockets.entries
        guard membership.identity != nil || !entries.contains(where: \.isSecure) else {
            // Plaintext where clients expect TLS would be worse than no service.
            throw ConfigurationError(option: "--certfile", "the open ports are for TLS, and there is no certificate")
        }
        for (number, entries) in Dictionary(grouping: entries, by: \.place) {
            places[number] = ServedPlace(number: number, entries: entries, membership: membership, worker: self)
        }
        let forwarded = membership.forwarding.map {
            ForwardedIntake(receiver: $0.receiver, isOwner: false, worker: self)
        }
        let intake = try SlotIntake(slot: slot, entries: entries, forwarded: forwarded, loop: loop) { places[$0] }
        intake.registerSenders()
        intakes = [intake]
        forwarding = membership.forwarding.map { SlotForwarding(slot: slot, $0, worker: self) }
    }

    // MARK: - Intake

    /// Begins to accept; on the loop's thread.
    func startAccepting() throws {
        isAccepting = true
        for intake in intakes { try start(intake) }
    }

    private func start(_ intake: SlotIntake) throws(SystemError) {
        try intake.start(
            isReader: isReader,
            onAccept: { [unowned self] in accepted($0, by: $1) },
            onPause: { [unowned self] in logger.warning("accepting pauses: \($0)") }
        )
        if isPaused { intake.pauseAccepting() }
    }

    /// Reads the sockets of a slot that has no worker, and speaks for the connections that it had.
    ///
    /// - Parameter receiver: Where others forward that slot's datagrams to; taken over.
    func adopt(_ slot: Int, _ sockets: SlotSockets, receiver: Int32) {
        let forwarded = ForwardedIntake(receiver: receiver, isOwner: true, worker: self)
        guard isSlot(slot) else { return logger.error("there is no slot \(slot) to be read") }
        guard slot != self.slot, !intakes.contains(where: { $0.slot == slot }) else { return }
        do {
            // What is shared is read already.
            let entries = sockets.entries.filter { !$0.isShared }
            let intake = try SlotIntake(slot: slot, entries: entries, forwarded: forwarded, loop: loop) { places[$0] }
            intakes.append(intake)
            for place in places.values { place.quic?.endpoint.adoptedSlots.insert(slot) }
            if isAccepting { try start(intake) }
        } catch {
            logger.error("slot \(slot) cannot be read: \(error)")
            // Who answers for its connections must be able to hear of them.
            release(slot)
        }
    }

    /// Leaves an adopted slot to its next worker.
    func release(_ slot: Int) {
        guard slot != self.slot else { return }
        for intake in intakes where intake.slot == slot { intake.stop() }
        intakes.removeAll { $0.slot == slot }
        for place in places.values { place.quic?.endpoint.adoptedSlots.remove(slot) }
    }

    /// Begins or ends to read the UDP sockets that several workers have.
    func setReader(_ isReader: Bool) {
        self.isReader = isReader
        guard isAccepting else { return }
        do {
            for intake in intakes { try intake.setReader(isReader) }
        } catch {
            logger.error("the shared UDP sockets cannot be read: \(error)")
        }
    }

    /// Learns which slots get new connections over QUIC.
    func setNewcomers(_ slots: [Int]) {
        guard slots.allSatisfy(isSlot) else { return logger.error("new connections cannot go to slots \(slots)") }
        for place in places.values { place.quic?.endpoint.newcomers = slots }
    }

    private func isSlot(_ slot: Int) -> Bool { (0..<slotCount).contains(slot) }

    /// Prepares for forwarded datagrams. In one turn, all places have the same room.
    func awaitDatagrams() {
        for place in places.values { place.quic?.makeRoom() }
    }

    /// Serves what forwarded datagrams have touched.
    func serveDatagrams() {
        for place in places.values { place.quic?.serveTouched() }
    }

    /// Shows another certificate to clients that connect from now on.
    func use(_ identity: ServerIdentity) {
        for place in places.values { place.use(identity) }
    }

    // MARK: - Connections

    private func accepted(_ socket: TCPSocket, by context: ListenerContext) {
        do {
            let driver = try TCPDriver(socket: socket, listener: context, worker: self)
            // Who comes while we drain is served once: told to go away before that, it would have come for nothing.
            driver.isDraining = isDraining
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
        for intake in intakes { intake.pauseAccepting() }
        // A server that is full pauses with each connection that takes the place of another.
        guard loop.now >= nextPauseReport else { return }
        nextPauseReport = loop.now + Self.reportInterval
        logger.warning("\(connections.count) connections are open, as many as may be: accepting pauses")
    }

    /// A connection has agreed on the version that it speaks.
    func serves(_ version: Configuration.HTTPProtocol, _ driver: ConnectionDriver) {
        driver.version = version
        counts.add(1, to: version)
    }

    /// A connection has ended.
    func closed(_ driver: ConnectionDriver) {
        connections[ObjectIdentifier(driver)] = nil
        if let version = driver.version { counts.add(-1, to: version) }
        if isPaused { resumeAccepting() }
        finishDrainIfOver()
    }

    /// How many more connections may be open.
    var roomForConnections: Int { max(0, configuration.limits.maxConnections - connections.count) }

    private func resumeAccepting() {
        isPaused = false
        do {
            for intake in intakes { try intake.resumeAccepting() }
        } catch {
            // The next connection that ends brings another attempt.
            isPaused = true
            logger.error("accepting cannot resume: \(error)")
        }
    }

    /// What there is to tell at this moment.
    func report() -> WorkerReport {
        var report = counts
        report.requests = requestCount
        report.isDraining = isDraining
        return report
    }

    // MARK: - WebSockets

    /// Takes one more WebSocket into account; false where there are as many as may be.
    func admitWebSocket() -> Bool {
        guard counts.webSockets < configuration.webSocket.maxConnections else { return false }
        counts.webSockets += 1
        return true
    }

    /// A WebSocket that was admitted is over, or was denied.
    func webSocketEnded() {
        counts.webSockets -= 1
    }
}
