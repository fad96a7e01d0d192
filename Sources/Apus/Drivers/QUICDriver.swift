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

    /// The number of its place, by which other workers know it.
    private let place: Int
    let endpoint: QUICEndpoint
    let defaults: ResponseDefaults
    /// Where packets are made; one train at a time, so that one buffer is enough for all connections.
    let buffer = TransmitBuffer()
    private unowned let worker: Worker
    /// Through which is sent, those of the worker's own slot; what is read from others' is answered there, too.
    private var ports: [QUICPort] = []
    private let timer: LoopTimer
    /// What the log was last told of the demand for proved addresses.
    private var saysRetry = false

    init(place: Int, endpoint: QUICEndpoint, defaults: ResponseDefaults, worker: Worker) {
        self.place = place
        self.endpoint = endpoint
        self.defaults = defaults
        self.worker = worker
        timer = LoopTimer(loop: worker.loop)
        timer.handler = self
    }

    /// Sends through a port from now on, too.
    func send(through port: QUICPort) {
        ports.append(port)
    }

    // MARK: - Input

    func read(from port: QUICPort) {
        makeRoom()
        let now = worker.loop.now
        for _ in 0..<Self.maxBatchesPerTurn {
            let mayHaveMore = port.socket.receiveBatch { datagram, remote, local, ecn in
                let owner = endpoint.receive(datagram, local: local, remote: remote, ecn: ecn, now: now)
                guard let owner else { return }
                worker.forwarding?
                    .forward(datagram, to: owner, place: place, remote: remote, local: local, ecn: ecn)
            }
            guard mayHaveMore else { break }
        }
        serveTouched()
    }

    /// Finds out how many newcomers there is room for: all connections of a worker have one bound, over whatever and at
    /// whichever place they came.
    func makeRoom() {
        endpoint.room = worker.roomForConnections
    }

    /// Takes a datagram that another worker got, after ``makeRoom()``; ``serveTouched()`` has to follow.
    func receiveForwarded(
        _ datagram: UnsafeRawBufferPointer,
        local: SocketAddress,
        remote: SocketAddress,
        ecn: UInt8
    ) {
        let now = worker.loop.now
        _ = endpoint.receive(datagram, local: local, remote: remote, ecn: ecn, now: now, isForwarded: true)
    }

    /// Gives each connection that had an input its turn, and sends what belongs to none.
    func serveTouched() {
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
        worker.serves(.http3, driver)
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

    private func port(for transmit: Transmit) -> QUICPort? {
        ports.first {
            let bound = $0.socket.localAddress
            return bound.port == transmit.local.port && bound.family == transmit.local.family
        }
    }

    // MARK: - Time and end

    /// Sends what belongs to no connection (any more), and sets the timer.
    func settle() {
        while let transmit = endpoint.nextTransmit(into: buffer) {
            // An answer without a connection is not worth waiting for.
            _ = send(transmit)
        }
        timer.set(endpoint.deadline)
        if endpoint.isRetryEngaged != saysRetry { tellOfRetry() }
    }

    private func tellOfRetry() {
        saysRetry = endpoint.isRetryEngaged
        worker.logger.notice(
            saysRetry
                ? "many clients begin QUIC handshakes: each must prove its address now (Retry)"
                : "clients begin QUIC handshakes without a proof of their address again"
        )
    }

    /// Refuses newcomers and tells every client to go elsewhere.
    func shutdown() {
        endpoint.shutdown(now: worker.loop.now)
        serveTouched()
    }
}

extension QUICDriver: TimerHandler {
    func timerFired(now: Instant) {
        endpoint.handleTimeout(now: now)
        serveTouched()
    }
}
