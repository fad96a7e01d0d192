import ApusGateway
import ApusHTTP
import ApusHTTP3
import ApusTestClients

/// Several workers behind one address on a virtual network, with forwarding between them.
final class Cluster {
    /// To whose socket the kernel delivers.
    enum Delivery: CaseIterable {
        /// By the packet filter.
        case steered
        /// To anybody: no filter is attached.
        case chance
        /// To anybody but the one whom the filter would choose.
        case wrong
    }

    /// One worker: an endpoint and what its driver would keep.
    final class Worker {
        let endpoint: QUICEndpoint
        fileprivate(set) var connections: [HTTP3Connection] = []
        /// Datagrams that belonged to no connection.
        fileprivate(set) var answers: [[UInt8]] = []
        /// Connections that this worker has had.
        fileprivate(set) var accepted = 0

        init(_ endpoint: QUICEndpoint) {
            self.endpoint = endpoint
        }
    }

    typealias Handler = (HTTP3Connection, StreamEvent) -> Void

    static let serverAddress = SocketAddress(literal: "10.0.0.1", port: 443)!
    let secrets: QUICSecrets
    let slotCount: Int
    let clock: VirtualWallClock
    private(set) var now = Instant(nanoseconds: 1_000_000_000)
    /// By slot; a slot without one has nobody who reads it, unless it is adopted.
    private(set) var workers: [Int: Worker] = [:]
    private(set) var clients: [HTTP3Client] = []
    /// Where the network sees a client, if it is not where the client believes to be.
    private var mappings: [ObjectIdentifier: SocketAddress] = [:]
    var delivery: Delivery
    /// What the packet filter believes.
    var steeredNewcomers: [Int]
    var network: SimulatedNetwork
    var handler: Handler = { $0.answerHello($1) }
    private(set) var forwarded = 0
    /// Datagrams that were forwarded to a slot that nobody reads.
    private(set) var lost = 0
    private let configuration: QUICConfiguration
    private let buffer = TransmitBuffer()
    private var generator: SeededGenerator

    init(
        slots: Int,
        delivery: Delivery = .steered,
        conditions: SimulatedNetwork.Conditions = .init(),
        seed: UInt64 = 1,
        secrets: QUICSecrets = .random(),
        adjust: (inout QUICConfiguration) -> Void = { _ in }
    ) throws {
        self.delivery = delivery
        self.secrets = secrets
        slotCount = slots
        generator = SeededGenerator(seed: seed)
        network = SimulatedNetwork(conditions: conditions, seed: seed)
        steeredNewcomers = Array(0..<slots)
        let clock = VirtualWallClock()
        self.clock = clock
        var configuration = QUICConfiguration(
            limits: Limits(),
            credentials: try TestCertificate.shared.credentials(),
            secrets: secrets,
            wallClock: { clock.nanoseconds }
        )
        configuration.slotCount = slots
        adjust(&configuration)
        self.configuration = configuration
        for slot in 0..<slots { start(slot) }
    }

    // MARK: Workers

    subscript(slot: Int) -> Worker {
        guard let worker = workers[slot] else { preconditionFailure("slot \(slot) has a worker") }
        return worker
    }

    /// Starts a worker, which knows nothing of an earlier one in its slot.
    @discardableResult
    func start(_ slot: Int) -> Worker {
        var configuration = configuration
        configuration.slot = slot
        let worker = Worker(QUICEndpoint(configuration: configuration))
        worker.endpoint.newcomers = steeredNewcomers
        workers[slot] = worker
        return worker
    }

    /// A worker dies; its connections know nothing of it.
    func kill(_ slot: Int) {
        workers[slot] = nil
    }

    /// Tells the packet filter and all workers who takes newcomers.
    func setNewcomers(_ slots: [Int]) {
        steeredNewcomers = slots
        for worker in workers.values { worker.endpoint.newcomers = slots }
    }

    /// The worker that has this client's connection.
    func owner(of client: HTTP3Client) -> Int? {
        workers.first { $0.value.connections.contains { $0.info?.remote == address(of: client) } }?.key
    }

    // MARK: Clients

    func connect(_ options: HTTP3Client.Options = .init(), host: String = "10.0.0.2") -> HTTP3Client {
        let address = SocketAddress(literal: host, port: UInt16(20000 + clients.count))!
        let client = HTTP3Client(local: address, remote: Self.serverAddress, now: now, options: options)
        clients.append(client)
        return client
    }

    /// Lets go of clients that have done their part.
    func forgetClients() {
        clients = []
        mappings = [:]
    }

    /// A NAT gives the client another port, of which it knows nothing.
    func rebind(_ client: HTTP3Client, to port: UInt16) {
        var address = client.local
        address.port = port
        mappings[ObjectIdentifier(client)] = address
    }

    func address(of client: HTTP3Client) -> SocketAddress {
        mappings[ObjectIdentifier(client)] ?? client.local
    }

    // MARK: Time

    /// Lets time pass by the wall clock only.
    func advanceWallClock(by seconds: Double) {
        clock.advance(by: TimeSpan.seconds(seconds).nanoseconds)
    }

    /// Runs until the condition holds; false if it does not within so many virtual seconds.
    @discardableResult
    func run(for seconds: Double = 30, until condition: () -> Bool = { false }) -> Bool {
        let end = now + .seconds(seconds)
        step()
        while !condition() {
            let next = nextTime
            guard next <= end.nanoseconds else {
                setTime(end)
                return condition()
            }
            setTime(max(now, Instant(nanoseconds: next)))
            step()
        }
        return true
    }

    private func setTime(_ time: Instant) {
        clock.advance(by: time.since(now).nanoseconds)
        now = time
    }

    private var nextTime: UInt64 {
        var next = network.nextArrival ?? .max
        for worker in workers.values { next = min(next, worker.endpoint.deadline?.nanoseconds ?? .max) }
        for client in clients { next = min(next, client.expiry) }
        return next
    }

    private func step() {
        for datagram in network.arrivals(at: now) {
            if datagram.target == Self.serverAddress {
                deliver(datagram.bytes, from: datagram.source)
            } else {
                clients.first { address(of: $0) == datagram.target }?.receive(datagram.bytes, now: now)
            }
        }
        for slot in workers.keys.sorted() {
            workers[slot]?.endpoint.handleTimeout(now: now)
            workers[slot].map(serve)
        }
        for client in clients {
            client.handleTimeout(now: now)
            for packet in client.packets(now: now) {
                network.send(packet, from: address(of: client), to: Self.serverAddress, now: now)
            }
        }
    }

    // MARK: Datagrams

    /// The slot that the packet filter computes, from the datagram's bytes alone.
    func steeredSlot(_ bytes: [UInt8]) -> Int {
        func scaled(_ start: Int) -> Int {
            let word = bytes[start..<start + 4].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
            return Int((word &* secrets.steeringKey) >> 16)
        }
        if bytes[0] & 0x80 == 0 { return scaled(1) % slotCount }
        if bytes[5] == 19 { return scaled(6) % slotCount }
        return steeredNewcomers[scaled(6) % steeredNewcomers.count]
    }

    private func socket(for bytes: [UInt8]) -> Int {
        let steered = steeredSlot(bytes)
        switch delivery {
        case .steered: return steered
        case .chance: return Int.random(in: 0..<slotCount, using: &generator)
        case .wrong: return (steered + Int.random(in: 1..<max(2, slotCount), using: &generator)) % slotCount
        }
    }

    /// Who reads what arrives for a slot.
    private func reader(of slot: Int) -> Worker? {
        workers[slot] ?? workers.values.first { $0.endpoint.adoptedSlots.contains(slot) }
    }

    private func deliver(_ bytes: [UInt8], from source: SocketAddress) {
        guard let reader = reader(of: socket(for: bytes)),
            let next = receive(bytes, from: source, at: reader, isForwarded: false)
        else { return }
        precondition(next >= 0 && next < slotCount, "a datagram is forwarded to a slot")
        forwarded += 1
        guard let target = self.reader(of: next) else {
            lost += 1
            return
        }
        precondition(target !== reader, "no worker forwards to itself")
        let further = receive(bytes, from: source, at: target, isForwarded: true)
        precondition(further == nil, "what was forwarded is not sent on")
    }

    /// Gives a datagram to a worker.
    func receive(_ bytes: [UInt8], from source: SocketAddress, at worker: Worker, isForwarded: Bool) -> Int? {
        bytes.withUnsafeBytes {
            worker.endpoint.receive(
                $0,
                local: Self.serverAddress,
                remote: source,
                ecn: 0,
                now: now,
                isForwarded: isForwarded
            )
        }
    }

    /// What a driver does at the end of its turn.
    private func serve(_ worker: Worker) {
        while let connection = worker.endpoint.nextTouched() {
            guard !worker.connections.contains(where: { $0 === connection }) else { continue }
            worker.connections.append(connection)
            worker.accepted += 1
        }
        for connection in worker.connections {
            while let event = connection.nextEvent() { handler(connection, event) }
            while let transmit = connection.writePackets(into: buffer, now: now) { send(transmit) }
            while let event = connection.nextEvent() { handler(connection, event) }
        }
        worker.connections.removeAll { $0.disposition != .open }
        while let transmit = worker.endpoint.nextTransmit(into: buffer) {
            worker.answers.append(Array(transmit.bytes))
            send(transmit)
        }
    }

    private func send(_ transmit: Transmit) {
        var offset = 0
        while offset < transmit.bytes.count {
            let end = min(offset + transmit.segmentSize, transmit.bytes.count)
            network.send(Array(transmit.bytes[offset..<end]), from: transmit.local, to: transmit.remote, now: now)
            offset = end
        }
    }
}
