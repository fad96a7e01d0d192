import ApusGateway
import ApusHTTP
import ApusHTTP3

/// A server endpoint and its clients on a virtual network and a virtual clock.
final class Simulation {
    /// What a test does when an event comes.
    typealias Handler = (Simulation, HTTP3Connection, StreamEvent) -> Void

    var now = Instant(nanoseconds: 1_000_000_000)
    var network: SimulatedNetwork
    let endpoint: QUICEndpoint
    let serverAddress = SocketAddress(literal: "10.0.0.1", port: 443)!
    private(set) var clients: [TestClient] = []
    private(set) var connections: [HTTP3Connection] = []
    let buffer = TransmitBuffer()
    var handler: Handler
    /// The largest number of packets in a train.
    private(set) var longestTrain = 0
    private(set) var serverDatagrams = 0
    /// Ended connections, as the driver sees them.
    private(set) var ended: [HTTP3Connection] = []
    /// While set, the server's socket takes nothing.
    var socketIsBlocked = false

    init(
        limits: Limits = Limits(),
        conditions: SimulatedNetwork.Conditions = .init(),
        seed: UInt64 = 1,
        configure: (inout QUICConfiguration) -> Void = { _ in },
        handler: @escaping Handler = { simulation, connection, event in
            simulation.answerHello(connection, event)
        }
    ) throws {
        network = SimulatedNetwork(conditions: conditions, seed: seed)
        self.handler = handler
        var configuration = QUICConfiguration(
            limits: limits,
            credentials: try TestCertificate.shared.credentials(),
            secrets: .random()
        )
        configure(&configuration)
        endpoint = QUICEndpoint(configuration: configuration)
    }

    func connect(_ options: TestClient.Options = .init()) -> TestClient {
        let address = SocketAddress(literal: "10.0.0.2", port: UInt16(40000 + clients.count))!
        let client = TestClient(local: address, remote: serverAddress, now: now, options: options)
        clients.append(client)
        return client
    }

    // MARK: Applications

    /// Answers every request with a few bytes.
    func answerHello(_ connection: HTTP3Connection, _ event: StreamEvent) {
        guard case .request(let id, _) = event else { return }
        answer(connection, id, Bytes("Hello, World!"))
    }

    func answer(_ connection: HTTP3Connection, _ id: StreamID, _ body: Bytes, status: Int = 200) {
        connection.send(.head(ResponseHead(status: status, headers: ["content-type": "text/plain"])), on: id)
        connection.send(.body(body, end: true), on: id)
        connection.applicationEnded(on: id)
    }

    // MARK: Time

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
        return next == .max ? nil : next
    }

    /// Does all that is due now.
    func step() {
        for datagram in network.arrivals(at: now) {
            if datagram.target == serverAddress {
                datagram.bytes.withUnsafeBytes {
                    endpoint.receive($0, local: serverAddress, remote: datagram.source, ecn: 0, now: now)
                }
            } else {
                clients.first { $0.local == datagram.target }?.receive(datagram.bytes, now: now)
            }
        }
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
            while !socketIsBlocked, let transmit = connection.writePackets(into: buffer, now: now) { send(transmit) }
            deliver(connection)
            if connection.disposition != .open {
                ended.append(connection)
                connections.removeAll { $0 === connection }
            }
        }
        while !socketIsBlocked, let transmit = endpoint.nextTransmit(into: buffer) { send(transmit) }
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
