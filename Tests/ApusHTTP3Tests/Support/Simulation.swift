import ApusGateway
import ApusHTTP
import ApusHTTP3
import ApusTestClients

/// A server endpoint and its clients on a virtual network and a virtual clock.
final class Simulation {
    /// What a test does when an event comes.
    typealias Handler = (Simulation, HTTP3Connection, StreamEvent) -> Void

    var now = Instant(nanoseconds: 1_000_000_000)
    var network: SimulatedNetwork
    let endpoint: QUICEndpoint
    let serverAddress = SocketAddress(literal: "10.0.0.1", port: 443)!
    private(set) var clients: [HTTP3Client] = []
    private(set) var connections: [HTTP3Connection] = []
    let buffer = TransmitBuffer()
    var handler: Handler
    private var actions: [(due: Instant, action: () -> Void)] = []
    /// The largest number of packets in a train.
    private(set) var longestTrain = 0
    private(set) var serverDatagrams = 0
    /// Ended connections, as the driver sees them.
    private(set) var ended: [HTTP3Connection] = []
    /// While set, the server's socket takes nothing.
    var socketIsBlocked = false
    /// The server's socket takes every train at the second try only.
    var holdsEveryOtherTrain = false
    private var isHolding = false

    init(
        limits: Limits = Limits(),
        webSockets: Bool = false,
        conditions: SimulatedNetwork.Conditions = .init(),
        seed: UInt64 = 1,
        secrets: QUICSecrets = .random(),
        slots: (own: Int, count: Int) = (0, 1),
        statelessAnswers: Int = 100,
        ticketKey: [UInt8]? = nil,
        handler: @escaping Handler = { simulation, connection, event in
            simulation.answerHello(connection, event)
        }
    ) throws {
        network = SimulatedNetwork(conditions: conditions, seed: seed)
        self.handler = handler
        var configuration = QUICConfiguration(
            limits: limits,
            credentials: try TestCertificate.shared.credentials(ticketKey: ticketKey),
            secrets: secrets,
            webSockets: webSockets,
            wallClock: { 0 }
        )
        configuration.slot = slots.own
        configuration.slotCount = slots.count
        configuration.statelessAnswersPerSecond = statelessAnswers
        endpoint = QUICEndpoint(configuration: configuration)
    }

    func connect(_ options: HTTP3Client.Options = .init()) -> HTTP3Client {
        let address = SocketAddress(literal: "10.0.0.2", port: UInt16(40000 + clients.count))!
        let client = HTTP3Client(local: address, remote: serverAddress, now: now, options: options)
        clients.append(client)
        return client
    }

    // MARK: Applications

    /// Answers every request with a few bytes.
    func answerHello(_ connection: HTTP3Connection, _ event: StreamEvent) {
        connection.answerHello(event)
    }

    func answer(_ connection: HTTP3Connection, _ event: StreamEvent, _ body: Bytes) {
        if case .request(let id, _) = event { connection.answer(id, body) }
    }

    func answer(_ connection: HTTP3Connection, _ id: StreamID, _ body: Bytes, status: Int = 200) {
        connection.answer(id, body, status: status)
    }

    /// Sends every request's body back as it comes, and its trailers.
    func echo(_ connection: HTTP3Connection, _ event: StreamEvent) {
        connection.echo(event)
    }

    // MARK: Time

    /// Lets time pass while the client asks for something small every second.
    func keepAlive(_ client: HTTP3Client, for seconds: Int) {
        for _ in 0..<seconds {
            client.request()
            run(for: 1)
        }
    }

    /// Does something at a later time.
    func after(_ seconds: Double, _ action: @escaping () -> Void) {
        actions.append((now + .seconds(seconds), action))
    }

    /// Runs until the condition holds; false if it does not within so many virtual seconds.
    @discardableResult
    func run(for seconds: Double = 30, until condition: () -> Bool = { false }) -> Bool {
        let end = now + .seconds(seconds)
        step()
        while !condition() {
            guard let next = nextTime, next <= end.nanoseconds else {
                now = end
                return condition()
            }
            now = max(now, Instant(nanoseconds: next))
            step()
        }
        return true
    }

    private var nextTime: UInt64? {
        var next = min(network.nextArrival ?? .max, endpoint.deadline?.nanoseconds ?? .max)
        for client in clients { next = min(next, client.expiry) }
        for action in actions { next = min(next, action.due.nanoseconds) }
        return next == .max ? nil : next
    }

    /// Does all that is due now.
    func step() {
        for datagram in network.arrivals(at: now) {
            if datagram.target == serverAddress {
                datagram.bytes.withUnsafeBytes {
                    _ = endpoint.receive($0, local: serverAddress, remote: datagram.source, ecn: 0, now: now)
                }
            } else {
                clients.first { $0.local == datagram.target }?.receive(datagram.bytes, now: now)
            }
        }
        let due = actions.filter { $0.due <= now }
        actions.removeAll { $0.due <= now }
        for action in due { action.action() }
        endpoint.handleTimeout(now: now)
        for client in clients { client.handleTimeout(now: now) }
        serve()
        for client in clients {
            for packet in client.packets(now: now) {
                network.send(packet, from: client.local, to: serverAddress, now: now)
            }
        }
    }

    /// What a driver does at the end of its turn.
    func serve() {
        while let connection = endpoint.nextTouched() {
            if !connections.contains(where: { $0 === connection }) { connections.append(connection) }
        }
        for connection in connections {
            deliver(connection)
            write(connection)
            deliver(connection)
            if connection.disposition != .open {
                ended.append(connection)
                connections.removeAll { $0 === connection }
            }
        }
        while !socketIsBlocked, let transmit = endpoint.nextTransmit(into: buffer) { send(transmit) }
    }

    private func write(_ connection: HTTP3Connection) {
        while !socketIsBlocked, let transmit = connection.writePackets(into: buffer, now: now) {
            isHolding.toggle()
            if holdsEveryOtherTrain, isHolding {
                connection.hold(transmit)
                continue
            }
            send(transmit)
        }
    }

    private func deliver(_ connection: HTTP3Connection) {
        while let event = connection.nextEvent() { handler(self, connection, event) }
    }

    private func send(_ transmit: Transmit) {
        var offset = 0
        var count = 0
        while offset < transmit.bytes.count {
            let end = min(offset + transmit.segmentSize, transmit.bytes.count)
            network.send(Array(transmit.bytes[offset..<end]), from: transmit.local, to: transmit.remote, now: now)
            offset = end
            count += 1
        }
        serverDatagrams += count
        longestTrain = max(longestTrain, count)
    }
}
