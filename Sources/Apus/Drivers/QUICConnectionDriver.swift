import ApusGateway
import ApusHTTP
import ApusHTTP3
import ApusTransport
import Logging

/// Drives one HTTP/3 connection: its events go to the streams, its packets to the endpoint's socket.
final class QUICConnectionDriver: ConnectionDriver {
    /// Trains of one connection in a turn, before the others have theirs; a train has up to 64 KiB.
    private static let maxTrainsPerTurn = 4

    private let connection: HTTP3Connection
    private unowned let driver: QUICDriver
    /// Whether the socket is full: the connection keeps its train until there is room.
    private var isBlocked = false
    private var hasFacts = false
    private var isClosed = false

    init(connection: HTTP3Connection, driver: QUICDriver, worker: Worker) {
        self.connection = connection
        self.driver = driver
        super
            .init(
                worker: worker,
                defaults: driver.defaults,
                info: ConnectionInfo(client: nil, server: nil, tls: nil, rootPath: worker.configuration.rootPath)
            )
        learnFacts()
    }

    /// Takes the connection's facts as soon as its handshake has agreed on them.
    private func learnFacts() {
        guard !hasFacts, let facts = connection.info else { return }
        hasFacts = facts.cipherSuite != 0
        info = ConnectionInfo(
            client: Address(facts.remote.unmapped),
            server: Address(facts.local.unmapped),
            tls: TLSInfo(version: facts.tlsVersion, cipherSuite: facts.cipherSuite, serverName: facts.serverName),
            rootPath: worker.configuration.rootPath
        )
    }

    // MARK: - What a stream asks for

    override func perform(_ event: ResponseEvent, on id: StreamID) {
        connection.send(event, on: id)
    }

    override func opened(window count: Int, on id: StreamID) {
        connection.consumed(count, on: id)
    }

    override func bufferedOutput(on id: StreamID) -> Int {
        connection.bufferedOutput(on: id)
    }

    override func handlerEnded(on id: StreamID) {
        connection.applicationEnded(on: id)
    }

    override func terminate(_ reason: String) {
        connection.closeNow(now: worker.loop.now)
        serve()
        flush()
    }

    // MARK: - Turns

    /// The connection had an input: its events are due, and so are its acknowledgements.
    func serve() {
        drainEvents()
        scheduleFlush()
    }

    /// Takes the connection's events to their streams; false where there was none.
    @discardableResult
    private func drainEvents() -> Bool {
        if !hasFacts { learnFacts() }
        var hadEvents = false
        while let event = connection.nextEvent() {
            dispatch(event)
            hadEvents = true
        }
        return hadEvents
    }

    override func flush() {
        guard !isClosed else { return }
        releaseHeads()
        if !isBlocked { writeTrains() }
        if connection.disposition != .open { end() }
        driver.settle()
    }

    private func writeTrains() {
        let now = worker.loop.now
        for _ in 0..<Self.maxTrainsPerTurn {
            let transmit = connection.writePackets(into: driver.buffer, now: now)
            // Even a write without a packet may have learned something, such as room on a stream.
            let learned = drainEvents()
            releaseHeads()
            guard let transmit else {
                if learned { continue }
                return
            }
            guard driver.send(transmit) else {
                connection.hold(transmit)
                isBlocked = true
                driver.whenWritable(for: transmit, self)
                return
            }
        }
        // There may be more: the others have their turn first.
        scheduleFlush()
    }

    func unblock() {
        isBlocked = false
        scheduleFlush()
    }

    private func end() {
        guard !isClosed else { return }
        isClosed = true
        if let error = connection.connectionError {
            worker.logger.info("\(info.clientName): \(error)")
        }
        drainEvents()
        clientLeft()
        // The connection is in nobody's table any more: this ends the cycle of the two.
        connection.context = nil
        worker.closed(self)
    }
}
