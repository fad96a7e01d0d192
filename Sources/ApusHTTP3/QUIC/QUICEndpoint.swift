import ApusHTTP
import CNgtcp2

/// All QUIC connections of one worker: datagrams in, connections that need attention and stateless answers out.
///
/// No socket and no clock. Confined to one thread; it must outlive its connections. The driver gives it every datagram
/// of a batch, forwards those that are another worker's, then serves the connections of ``nextTouched()``, then sends
/// what ``nextTransmit(into:)`` gives.
package final class QUICEndpoint {
    package private(set) var configuration: QUICConfiguration
    /// How connection IDs name workers.
    package let routing: ConnectionIDRouting
    /// The slots that take new connections, in the order that all workers know; empty where everybody is ours.
    ///
    /// - Precondition: Each lies below the number of slots.
    package var newcomers: [Int] = [] {
        didSet { precondition(newcomers.allSatisfy(isSlot), "newcomers go to slots that share the port") }
    }
    /// Slots without a worker, for whose connections this one speaks.
    ///
    /// - Precondition: Each lies below the number of slots.
    package var adoptedSlots: Set<Int> = [] {
        didSet { precondition(adoptedSlots.allSatisfy(isSlot), "adopted slots are among those that share the port") }
    }
    /// The certificate and key of connections from now on; open ones keep theirs.
    package var credentials: QUICServerCredentials {
        get { configuration.credentials }
        set { configuration.credentials = newValue }
    }
    /// Counts what was not worth an answer.
    package private(set) var droppedDatagrams = 0
    /// Connections that are open.
    package internal(set) var connectionCount = 0
    /// How many more there is room for, where the driver has others that count against the same bound.
    package var room = Int.max
    /// Counts the Retry packets that were sent.
    package internal(set) var retriesSent = 0
    /// Whether so many clients come without a proof of their address that it is demanded now (``QUICRetry/automatic``).
    package var isRetryEngaged: Bool { gate.engagedUntil != nil }
    /// No newcomer is accepted any more.
    package private(set) var isShuttingDown = false

    let table = ConnectionIDTable()
    let fields = FieldBlock()
    private var touched: [HTTP3Connection] = []
    private var expiries = ExpiryHeap<HTTP3Connection>()
    private var closedExpiries = ExpiryHeap<ClosedConnection>()
    private var answers: [HeldTrain] = []
    var answerBudget: TokenBucket
    /// Of its own, so that strangers, who need not even show their address, cannot use it up.
    var resetBudget: TokenBucket
    var tokens: AddressTokens
    var gate: RetryGate

    package init(configuration: QUICConfiguration) {
        self.configuration = configuration
        routing = ConnectionIDRouting(
            secrets: configuration.secrets,
            slot: configuration.slot,
            slotCount: configuration.slotCount
        )
        let (answers, resets) = (configuration.statelessAnswersPerSecond, configuration.statelessResetsPerSecond)
        answerBudget = TokenBucket(burst: answers, perSecond: Double(answers))
        resetBudget = TokenBucket(burst: resets, perSecond: Double(resets))
        tokens = AddressTokens(configuration: configuration)
        gate = RetryGate(configuration: configuration)
    }

    deinit {
        // The table and its connections refer to each other no more.
        table.removeAll()
    }

    private func isSlot(_ slot: Int) -> Bool {
        slot >= 0 && slot < routing.slotCount
    }

    // MARK: Input

    /// Takes one datagram from the socket, or from another worker.
    ///
    /// - Parameter isForwarded: Whether another worker has sent it here; it is never sent on, so that no two workers of
    ///   different minds pass it to and fro.
    /// - Returns: The slot whose worker must have the datagram, exactly as it is; nil where it is done with.
    package func receive(
        _ datagram: UnsafeRawBufferPointer,
        local: SocketAddress,
        remote: SocketAddress,
        ecn: UInt8,
        now: Instant,
        isForwarded: Bool = false
    ) -> Int? {
        // Nothing shorter is a QUIC packet: a header byte, an ID, a packet number and 16 bytes of protection.
        guard datagram.count >= 21, !Self.isReflectionPort(remote.port) else { return drop() }
        let arrival = Arrival(
            datagram: datagram,
            local: local,
            remote: remote,
            ecn: ecn,
            now: now,
            isForwarded: isForwarded
        )
        guard arrival.isLong else {
            let bytes = UnsafeRawBufferPointer(rebasing: datagram[1..<1 + ConnectionIDRouting.length])
            guard let identifier = ConnectionID(bytes) else { return drop() }
            return route(arrival, to: identifier)
        }
        return receiveLong(arrival)
    }

    /// A datagram with all that is known about it.
    struct Arrival {
        let datagram: UnsafeRawBufferPointer
        let local: SocketAddress
        let remote: SocketAddress
        let ecn: UInt8
        let now: Instant
        let isForwarded: Bool

        /// RFC 9000 §17.2: long headers are those of handshakes.
        var isLong: Bool { datagram[0] & 0x80 != 0 }
        var start: UnsafePointer<UInt8>? { datagram.baseAddress?.assumingMemoryBound(to: UInt8.self) }
    }

    private func receiveLong(_ arrival: Arrival) -> Int? {
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
            return route(arrival, to: identifier)
        case NGTCP2_ERR_VERSION_NEGOTIATION:
            // Whose it is does not matter: the answer is the same everywhere.
            return negotiateVersion(arrival, header)
        default:
            return drop()
        }
    }

    private func route(_ arrival: Arrival, to identifier: ConnectionID) -> Int? {
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
            return nil
        case .closed(let closed):
            return closed.answersNext() ? answer(closed.packet, arrival) : nil
        case nil:
            return receiveUnknown(arrival, identifier)
        }
    }

    /// Counts a datagram with which nothing is done.
    ///
    /// - Returns: nil, what ``receive(_:local:remote:ecn:now:isForwarded:)`` says of it.
    @discardableResult
    func drop() -> Int? {
        droppedDatagrams += 1
        return nil
    }

    /// Ports from which only reflected traffic comes: answering would feed the attack.
    private static func isReflectionPort(_ port: UInt16) -> Bool {
        switch port {
        case 0, 17, 19, 53, 111, 123, 137, 138, 161, 389, 500, 1900, 3702, 5353, 5355, 11211: true
        default: false
        }
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
        let expiry = min(expiries.earliest ?? .max, closedExpiries.earliest ?? .max)
        let earliest = min(expiry, gate.engagedUntil?.nanoseconds ?? .max)
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
        gate.release(now)
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
        addressProved(connection)
        expiries.remove(connection)
        touch(connection)
        for identifier in connection.identifiers { table.remove(identifier) }
        if !packet.isEmpty { queueAnswer(packet, local: addresses.local, remote: addresses.remote) }
        guard let deadline, closedExpiries.count < HTTP3Constants.maxClosedConnections else { return }
        let closed = ClosedConnection(identifiers: connection.identifiers, packet: packet, deadline: deadline)
        for identifier in closed.identifiers { table.insert(identifier, closed) }
        closedExpiries.schedule(closed, at: deadline.nanoseconds)
    }

    /// A client that came without a proof of its address has brought it, or is gone.
    func addressProved(_ connection: HTTP3Connection) {
        guard connection.isUnproved else { return }
        connection.isUnproved = false
        gate.ended()
    }

    private func forget(_ closed: ClosedConnection) {
        for identifier in closed.identifiers { table.remove(identifier) }
    }

    // MARK: Stateless answers

    /// The next datagram that belongs to no connection; one that the socket does not take is simply lost.
    package func nextTransmit(into buffer: TransmitBuffer) -> Transmit? {
        answers.popLast()?.transmit(in: buffer)
    }

    /// Sends a datagram back to where one came from.
    ///
    /// - Returns: nil, what ``receive(_:local:remote:ecn:now:isForwarded:)`` says of the one that caused it.
    func answer(_ bytes: [UInt8], _ arrival: Arrival) -> Int? {
        queueAnswer(bytes, local: arrival.local, remote: arrival.remote)
        return nil
    }

    private func queueAnswer(_ bytes: [UInt8], local: SocketAddress, remote: SocketAddress) {
        // Nobody drains them: better to lose some than to gather them without bound.
        guard answers.count < 1024 else {
            drop()
            return
        }
        answers.append(HeldTrain(bytes, local: local, remote: remote))
    }
}
