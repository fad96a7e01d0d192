import ApusHTTP
import CNgtcp2

/// All QUIC connections of one worker: datagrams in, connections that need attention and stateless answers out.
///
/// No socket and no clock. Confined to one thread; it must outlive its connections. The driver gives it every datagram
/// of a batch, then serves the connections of ``nextTouched()``, then sends what ``nextTransmit(into:)`` gives.
package final class QUICEndpoint {
    package let configuration: QUICConfiguration
    /// How connection IDs name workers.
    package let routing: ConnectionIDRouting
    /// Counts what was not worth an answer.
    package private(set) var droppedDatagrams = 0
    /// Connections that are open.
    package private(set) var connectionCount = 0
    /// No newcomer is accepted any more.
    package private(set) var isShuttingDown = false

    let table = ConnectionIDTable()
    let fields = FieldBlock()
    private var touched: [HTTP3Connection] = []
    private var expiries = ExpiryHeap<HTTP3Connection>()
    private var closedExpiries = ExpiryHeap<ClosedConnection>()
    private var answers: [HeldTrain] = []
    var answerBudget: TokenBucket

    package init(configuration: QUICConfiguration) {
        self.configuration = configuration
        routing = ConnectionIDRouting(
            secrets: configuration.secrets,
            slot: configuration.slot,
            slotCount: configuration.slotCount
        )
        let rate = configuration.statelessAnswersPerSecond
        answerBudget = TokenBucket(burst: rate, perSecond: Double(rate))
    }

    deinit {
        // The table and its connections refer to each other no more.
        table.removeAll()
    }

    // MARK: Input

    /// Takes one datagram from the socket.
    package func receive(
        _ datagram: UnsafeRawBufferPointer,
        local: SocketAddress,
        remote: SocketAddress,
        ecn: UInt8,
        now: Instant
    ) {
        // Nothing shorter is a QUIC packet: a header byte, an ID, a packet number and 16 bytes of protection.
        guard datagram.count >= 21, !Self.isReflectionPort(remote.port) else {
            droppedDatagrams += 1
            return
        }
        let arrival = Arrival(datagram: datagram, local: local, remote: remote, ecn: ecn, now: now)
        if datagram[0] & 0x80 == 0 {
            let bytes = UnsafeRawBufferPointer(rebasing: datagram[1..<1 + ConnectionIDRouting.length])
            guard let identifier = ConnectionID(bytes) else { return }
            route(arrival, to: identifier)
        } else {
            receiveLong(arrival)
        }
    }

    /// A datagram with all that is known about it.
    struct Arrival {
        let datagram: UnsafeRawBufferPointer
        let local: SocketAddress
        let remote: SocketAddress
        let ecn: UInt8
        let now: Instant

        var start: UnsafePointer<UInt8>? { datagram.baseAddress?.assumingMemoryBound(to: UInt8.self) }
    }

    private func receiveLong(_ arrival: Arrival) {
        var header = ngtcp2_version_cid()
        let status = ngtcp2_pkt_decode_version_cid(
            &header,
            arrival.start,
            arrival.datagram.count,
            ConnectionIDRouting.length
        )
        switch status {
        case 0:
            guard let identifier = ConnectionID(UnsafeRawBufferPointer(start: header.dcid, count: header.dcidlen))
            else { return drop() }
            route(arrival, to: identifier)
        case NGTCP2_ERR_VERSION_NEGOTIATION:
            negotiateVersion(arrival, header)
        default:
            drop()
        }
    }

    private func route(_ arrival: Arrival, to identifier: ConnectionID) {
        switch table[identifier] {
        case .connection(let connection):
            connection.receive(
                arrival.datagram,
                local: arrival.local,
                remote: arrival.remote,
                ecn: arrival.ecn,
                now: arrival.now
            )
            touch(connection)
        case .closed(let closed):
            if closed.answersNext() { answer(closed.packet, arrival) }
        case nil where arrival.datagram[0] & 0x80 == 0:
            resetStateless(arrival, identifier)
        case nil:
            accept(arrival, identifier)
        }
    }

    func drop() {
        droppedDatagrams += 1
    }

    /// Ports from which only reflected traffic comes: answering would feed the attack.
    private static func isReflectionPort(_ port: UInt16) -> Bool {
        switch port {
        case 0, 17, 19, 53, 111, 123, 137, 138, 161, 389, 500, 1900, 3702, 5353, 5355, 11211: true
        default: false
        }
    }

    // MARK: Newcomers

    private func accept(_ arrival: Arrival, _ identifier: ConnectionID) {
        // An ID of ours that is not in the table belongs to a connection that is gone, or to another worker.
        guard routing.owner(of: identifier) == .nobody else { return drop() }
        var header = ngtcp2_pkt_hd()
        guard ngtcp2_accept(&header, arrival.start, arrival.datagram.count) == 0 else { return drop() }
        guard !isShuttingDown, connectionCount < configuration.limits.maxConnections else {
            refuse(arrival, header)
            return
        }
        let newcomer = QUICConnection.Newcomer(
            header: header,
            local: arrival.local,
            remote: arrival.remote,
            identifier: routing.make()
        )
        guard let connection = HTTP3Connection(newcomer, endpoint: self, now: arrival.now) else { return drop() }
        connectionCount += 1
        for identifier in connection.identifiers { table.insert(identifier, connection) }
        connection.receive(
            arrival.datagram,
            local: arrival.local,
            remote: arrival.remote,
            ecn: arrival.ecn,
            now: arrival.now
        )
        touch(connection)
    }

    // MARK: Attention

    /// The next connection that has had an input since it was last given out here.
    ///
    /// It may be a new one, and it may be over.
    package func nextTouched() -> HTTP3Connection? {
        guard let connection = touched.popLast() else { return nil }
        connection.isTouched = false
        return connection
    }

    func touch(_ connection: HTTP3Connection) {
        guard !connection.isTouched else { return }
        connection.isTouched = true
        touched.append(connection)
    }

    // MARK: Time

    /// When ``handleTimeout(now:)`` is next needed; it may be early.
    package var deadline: Instant? {
        let earliest = min(expiries.earliest ?? .max, closedExpiries.earliest ?? .max)
        return earliest == .max ? nil : Instant(nanoseconds: earliest)
    }

    /// Does what is due, and touches the connections for which something was.
    package func handleTimeout(now: Instant) {
        while let connection = expiries.popDue(now.nanoseconds) {
            guard let deadline = connection.deadline else { continue }
            if deadline > now {
                expiries.schedule(connection, at: deadline.nanoseconds)
            } else {
                // It is scheduled again when it has written: a blocked socket must not make this spin.
                connection.handleTimeout(now: now)
                touch(connection)
            }
        }
        while let closed = closedExpiries.popDue(now.nanoseconds) { forget(closed) }
    }

    /// Remembers when a connection needs the time.
    func schedule(_ connection: HTTP3Connection) {
        guard let deadline = connection.deadline else { return }
        expiries.schedule(connection, at: deadline.nanoseconds)
    }

    // MARK: The end

    /// Refuses newcomers, and lets every connection end in order.
    package func shutdown(now: Instant) {
        isShuttingDown = true
        for connection in table.connections { connection.shutdown(now: now) }
    }

    /// Takes over what is left of a connection: its IDs for a while, and the packet that says why it ended.
    func connectionEnded(
        _ connection: HTTP3Connection,
        packet: [UInt8],
        _ addresses: (local: SocketAddress, remote: SocketAddress),
        until deadline: Instant?
    ) {
        connectionCount -= 1
        expiries.remove(connection)
        touch(connection)
        for identifier in connection.identifiers { table.remove(identifier) }
        if !packet.isEmpty { queueAnswer(packet, local: addresses.local, remote: addresses.remote) }
        guard let deadline, closedExpiries.count < HTTP3Constants.maxClosedConnections else { return }
        let closed = ClosedConnection(identifiers: connection.identifiers, packet: packet, deadline: deadline)
        for identifier in closed.identifiers { table.insert(identifier, closed) }
        closedExpiries.schedule(closed, at: deadline.nanoseconds)
    }

    private func forget(_ closed: ClosedConnection) {
        for identifier in closed.identifiers { table.remove(identifier) }
    }

    // MARK: Stateless answers

    /// The next datagram that belongs to no connection; one that the socket does not take is simply lost.
    package func nextTransmit(into buffer: TransmitBuffer) -> Transmit? {
        answers.isEmpty ? nil : answers.removeFirst().transmit(in: buffer)
    }

    func answer(_ bytes: [UInt8], _ arrival: Arrival) {
        queueAnswer(bytes, local: arrival.local, remote: arrival.remote)
    }

    private func queueAnswer(_ bytes: [UInt8], local: SocketAddress, remote: SocketAddress) {
        // Nobody drains them: better to lose some than to gather them without bound.
        guard answers.count < 1024 else { return drop() }
        answers.append(HeldTrain(bytes, local: local, remote: remote))
    }
}
