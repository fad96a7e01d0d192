import ApusGateway
import ApusHTTP
import ApusHTTP3
import ApusTestClients
import Testing

@Suite struct TransferTests {
    static let lossy = SimulatedNetwork.Conditions(
        latency: 10_000_000,
        jitter: 3_000_000,
        loss: 0.05,
        duplication: 0.02
    )

    static func pattern(_ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }
    }

    @Test(arguments: [1, 2, 3, 4, 5] as [UInt64])
    func aMegabyteIsEchoedThroughLossReorderingAndDuplication(seed: UInt64) throws {
        let simulation = try Simulation(conditions: Self.lossy, seed: seed) { $0.echo($1, $2) }
        let client = simulation.connect()
        let content = Self.pattern(1_000_000)
        let id = client.request("POST", "/", upload: .init(pieces: content))
        #expect(simulation.run(for: 120) { client.responses[id]?.ended == true })
        #expect(client.responses[id]?.body == content)
        #expect(simulation.network.lost > 20)
    }

    @Test(arguments: [11, 12, 13] as [UInt64])
    func manySmallRequestsSurviveLoss(seed: UInt64) throws {
        let simulation = try Simulation(conditions: Self.lossy, seed: seed)
        let client = simulation.connect()
        let ids = (0..<300).map { _ in client.request() }
        #expect(simulation.run(for: 120) { ids.allSatisfy { client.responses[$0]?.ended == true } })
    }

    @Test func aLargeDownloadGoesOutInTrains() throws {
        let content = Bytes(Self.pattern(3_000_000))
        let simulation = try Simulation { $0.answer($1, $2, content) }
        let client = simulation.connect()
        let id = client.request()
        #expect(simulation.run { client.responses[id]?.ended == true })
        #expect(client.responses[id]?.body.elementsEqual(content) == true)
        #expect(simulation.longestTrain > 10)
    }

    @Test func aPathThatCarriesOnlyTheMinimumIsServed() throws {
        var conditions = SimulatedNetwork.Conditions()
        conditions.mtu = 1200
        let content = Bytes(Self.pattern(300_000))
        let simulation = try Simulation(conditions: conditions) { $0.answer($1, $2, content) }
        let client = simulation.connect()
        // The client's own probes are larger and lost as well.
        let id = client.request()
        #expect(simulation.run { client.responses[id]?.ended == true })
    }

    @Test func aTrainThatTheSocketDoesNotTakeIsSentLater() throws {
        let content = Bytes(Self.pattern(200_000))
        let simulation = try Simulation { $0.answer($1, $2, content) }
        simulation.holdsEveryOtherTrain = true
        let client = simulation.connect()
        let id = client.request()
        #expect(simulation.run { client.responses[id]?.ended == true })
        #expect(client.responses[id]?.body.elementsEqual(content) == true)
    }

    @Test func anApplicationThatReadsSlowlyKeepsTheWindowClosed() throws {
        var limits = Limits()
        limits.streamReceiveWindow = 64 * 1024
        var received = 0
        var consumed = 0
        var stream: StreamID?
        let simulation = try Simulation(limits: limits) { simulation, connection, event in
            switch event {
            case .request(let id, _): stream = id
            case .body(_, let bytes): received += bytes.count
            case .end(let id, _): simulation.answer(connection, id, "done")
            default: break
            }
        }
        let client = simulation.connect()
        let content = Self.pattern(500_000)
        let id = client.request("POST", "/", upload: .init(pieces: content))
        simulation.run(for: 3)
        // The window counts frame headers as well.
        #expect(received <= 64 * 1024 && received > 63 * 1024)
        while client.responses[id]?.ended != true, received > consumed {
            let connection = try #require(simulation.connections.first)
            let step = min(received - consumed, 10_000)
            consumed += step
            connection.consumed(step, on: try #require(stream))
            #expect(received <= consumed + 64 * 1024)
            simulation.run(for: 0.1)
        }
        #expect(received == content.count)
        #expect(client.responses[id]?.body == Array("done".utf8))
    }

    @Test func aSlowApplicationDoesNotStallItsSiblings() throws {
        let simulation = try Simulation { simulation, connection, event in
            switch event {
            case .request(let id, let head) where head.target == "/fast":
                simulation.answer(connection, id, "fast")
            default: break
            }
        }
        let client = simulation.connect()
        // Four windows full of unread body: as much as the connection's window.
        for _ in 0..<4 { client.request("POST", "/slow", upload: .init(pieces: Self.pattern(400_000))) }
        simulation.run(for: 2)
        let ids = (0..<50).map { _ in client.request("GET", "/fast") }
        #expect(simulation.run { ids.allSatisfy { client.responses[$0]?.ended == true } })
    }

    @Test func theWindowOfDeadStreamsIsGivenBack() throws {
        var limits = Limits()
        limits.connectionReceiveWindow = 128 * 1024
        limits.streamReceiveWindow = 64 * 1024
        let simulation = try Simulation(limits: limits) { simulation, connection, event in
            switch event {
            case .request(let id, let head) where head.target == "/last": _ = id
            case .end(let id, _): simulation.answer(connection, id, "whole")
            case .reset(let id, _): connection.applicationEnded(on: id)
            default: break
            }
        }
        let client = simulation.connect()
        for _ in 0..<20 {
            let id = client.request("POST", "/aborted", upload: .init(pieces: Self.pattern(100_000)))
            simulation.run(for: 0.5)
            client.reset(id)
            simulation.run(for: 0.5)
        }
        let last = client.request("POST", "/last", upload: .init(pieces: Self.pattern(50_000)))
        #expect(simulation.run { client.responses[last]?.ended == true })
    }

    @Test func aClientThatReadsSlowlyHoldsTheResponseBack() throws {
        var options = HTTP3Client.Options()
        options.streamWindow = 100_000
        options.consumes = false
        var limits = Limits()
        limits.streamSendHighWater = 50_000
        limits.streamSendLowWater = 10_000
        var writable = 0
        var server: (HTTP3Connection, StreamID)?
        let simulation = try Simulation(limits: limits) { simulation, connection, event in
            switch event {
            case .request(let id, _):
                server = (connection, id)
                connection.send(.head(ResponseHead(status: 200, headers: [:])), on: id)
                connection.send(.body(Bytes(Self.pattern(300_000)), end: false), on: id)
            case .writable: writable += 1
            default: break
            }
        }
        let client = simulation.connect(options)
        let id = client.request()
        simulation.run(for: 2)
        let (connection, stream) = try #require(server)
        #expect(client.responses[id]?.body.count ?? 0 < 100_000)
        // What is not handed to the library still waits.
        #expect(connection.bufferedOutput(on: stream) > 100_000)
        #expect(writable == 0)
        while (client.responses[id]?.unconsumed ?? 0) > 0 {
            client.consume(id)
            simulation.run(for: 0.2)
        }
        #expect(writable == 1)
        #expect(client.responses[id]?.body.count == 300_000)
        #expect(connection.bufferedOutput(on: stream) == 0)
    }

    @Test func bodiesAreReleasedWhenTheClientHasThem() throws {
        final class Owner {
            let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 40_000, alignment: 1)
            let released: () -> Void
            init(_ released: @escaping () -> Void) {
                self.released = released
                memory.initializeMemory(as: UInt8.self, repeating: 7)
            }
            deinit {
                memory.deallocate()
                released()
            }
        }
        var alive = 0
        var server: (HTTP3Connection, StreamID)?
        let simulation = try Simulation { simulation, connection, event in
            guard case .request(let id, _) = event else { return }
            server = (connection, id)
            connection.send(.head(ResponseHead(status: 200, headers: [:])), on: id)
            for _ in 0..<10 {
                alive += 1
                let owner = Owner { alive -= 1 }
                let memory = UnsafeRawBufferPointer(owner.memory)
                connection.send(.body(Bytes(owner: owner, memory: memory), end: false), on: id)
            }
        }
        let client = simulation.connect()
        let id = client.request()
        #expect(simulation.run { (client.responses[id]?.body.count ?? 0) > 100_000 })
        #expect(alive > 0)
        #expect(simulation.run { client.responses[id]?.body.count == 400_000 })
        simulation.run(for: 1)
        // The response goes on, but everything sent so far is acknowledged.
        #expect(alive == 0)
        let (connection, stream) = try #require(server)
        connection.send(.body("end", end: true), on: stream)
        #expect(simulation.run { client.responses[id]?.ended == true })
    }

    /// nghttp3 1.8 forgets a bare end of stream that QUIC could not take at once.
    @Test(arguments: [1, 2, 3] as [UInt64])
    func noEndOfStreamIsLostOnABusyConnection(seed: UInt64) throws {
        var conditions = Self.lossy
        conditions.loss = 0.03
        let bulk = Bytes(Self.pattern(4_000_000))
        var generator = SeededGenerator(seed: seed)
        let simulation = try Simulation(conditions: conditions, seed: seed) { simulation, connection, event in
            guard case .request(let id, let head) = event else { return }
            guard head.target != "/bulk" else { return simulation.answer(connection, id, bulk) }
            connection.send(.head(ResponseHead(status: 200, headers: [:])), on: id)
            connection.send(.body("x", end: false), on: id)
            simulation.after(Double.random(in: 0.005...0.06, using: &generator)) {
                connection.send(.body(Bytes(), end: true), on: id)
                connection.applicationEnded(on: id)
            }
        }
        let client = simulation.connect()
        client.request("GET", "/bulk")
        var ids: [Int64] = []
        for _ in 0..<60 {
            ids += (0..<5).map { _ in client.request("GET", "/small", fields: ["priority": "u=0"]) }
            simulation.run(for: 0.02)
        }
        #expect(simulation.run(for: 20) { ids.allSatisfy { client.responses[$0]?.ended == true } })
    }
}
