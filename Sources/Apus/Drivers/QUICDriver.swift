import ApusHTTP
import ApusHTTP3
import ApusTransport
import Logging

/// Drives the QUIC side of one place: reads datagrams, lets the endpoint route them, and sends what it answers.
///
/// An address of each family has its own socket; a connection's packets leave from the one whose family they have.
final class QUICDriver {
    /// Batches that are read from one socket in a turn, before what they caused is sent.
    private static let maxBatchesPerTurn = 4

    let endpoint: QUICEndpoint
    let defaults: ResponseDefaults
    /// Where packets are made; one train at a time, so that one buffer is enough for all connections.
    let buffer = TransmitBuffer()
    private unowned let worker: Worker
    private var ports: [UDPPort] = []
    private let timer: LoopTimer

    init(sockets: [UDPSocket], endpoint: QUICEndpoint, defaults: ResponseDefaults, worker: Worker) {
        self.endpoint = endpoint
        self.defaults = defaults
        self.worker = worker
        timer = LoopTimer(loop: worker.loop)
        ports = sockets.map { UDPPort(socket: $0, driver: self) }
    }

    /// Begins to read; on the loop's thread.
    func start() throws(SystemError) {
        timer.handler = self
        for port in ports {
            try port.socket.register(on: worker.loop, handler: port)
        }
    }

    // MARK: - Input

    fileprivate func read(from port: UDPPort) {
        let now = worker.loop.now
        for _ in 0..<Self.maxBatchesPerTurn {
            let mayHaveMore = port.socket.receiveBatch { datagram, remote, local, ecn in
                _ = endpoint.receive(datagram, local: local, remote: remote, ecn: ecn, now: now)
            }
            guard mayHaveMore else { break }
        }
        serveTouched()
    }

    /// Gives each connection that had an input its turn, and sends what belongs to none.
    private func serveTouched() {
        while let connection = endpoint.nextTouched() {
            driver(of: connection)?.serve()
        }
        settle()
    }

    /// The connection's driver, made at its first input; none for a connection that was over before it had one.
    private func driver(of connection: HTTP3Connection) -> QUICConnectionDriver? {
        if let context = connection.context {
            // Nothing but the assignment below ever sets a context.
            return unsafeDowncast(context, to: QUICConnectionDriver.self)
        }
        guard connection.disposition == .open else {
            if let error = connection.connectionError { worker.logger.info("a client over QUIC: \(error)") }
            return nil
        }
        let driver = QUICConnectionDriver(connection: connection, driver: self, worker: worker)
        connection.context = driver
        worker.add(driver)
        return driver
    }

    // MARK: - Output

    /// Sends a train; false where the socket is full, so that it has to be sent again.
    func send(_ transmit: Transmit) -> Bool {
        guard let port = port(for: transmit) else { return true }
        let result = port.socket.send(
            transmit.bytes,
            segmentSize: transmit.segmentSize,
            to: transmit.remote,
            from: transmit.local,
            ecn: transmit.ecn
        )
        if case .wouldBlock = result { return false }
        return true
    }

    /// Calls back once the socket of this train can take more.
    func whenWritable(for transmit: Transmit, _ driver: QUICConnectionDriver) {
        port(for: transmit)?.await(driver)
    }

    private func port(for transmit: Transmit) -> UDPPort? {
        ports.first { $0.socket.localAddress.family == transmit.local.family }
    }

    // MARK: - Time and end

    /// Sends what belongs to no connection (any more), and sets the timer.
    func settle() {
        while let transmit = endpoint.nextTransmit(into: buffer) {
            // An answer without a connection is not worth waiting for.
            _ = send(transmit)
        }
        timer.set(endpoint.deadline)
    }

    /// Refuses newcomers and tells every client to go elsewhere.
    func shutdown() {
        endpoint.shutdown(now: worker.loop.now)
        serveTouched()
    }

    /// Stops reading; what still waits is lost, as datagrams may be.
    func close() {
        timer.set(nil)
        for port in ports {
            port.socket.close()
        }
        ports = []
    }
}

extension QUICDriver: TimerHandler {
    func timerFired(now: Instant) {
        endpoint.handleTimeout(now: now)
        serveTouched()
    }
}

/// One UDP socket of a driver, with the connections that wait for room in it.
private final class UDPPort: EventHandler {
    let socket: UDPSocket
    private unowned let driver: QUICDriver
    private var waiting: [QUICConnectionDriver] = []

    init(socket: UDPSocket, driver: QUICDriver) {
        self.socket = socket
        self.driver = driver
    }

    func handle(_ events: IOEvents) {
        if events.contains(.writable) { becameWritable() }
        // An error of the socket is read away, too.
        driver.read(from: self)
    }

    func await(_ connection: QUICConnectionDriver) {
        waiting.append(connection)
        try? socket.setWantsWritable(true)
    }

    private func becameWritable() {
        let ready = waiting
        waiting = []
        try? socket.setWantsWritable(false)
        for connection in ready {
            connection.unblock()
        }
    }
}
