import ApusGateway
import ApusHTTP
import ApusTestClients
import CNghttp3
import CNgtcp2
import Testing

@testable import ApusHTTP3

@Suite struct EndpointTests {
    private func established(_ simulation: Simulation, _ options: HTTP3Client.Options = .init()) -> HTTP3Client {
        let client = simulation.connect(options)
        let id = client.request()
        #expect(simulation.run { client.responses[id]?.ended == true })
        return client
    }

    /// What a client sends once its pacer lets it.
    private func nextPackets(_ client: HTTP3Client, _ simulation: Simulation) throws -> [[UInt8]] {
        simulation.now = simulation.now + .seconds(0.1)
        let packets = client.packets(now: simulation.now)
        try #require(!packets.isEmpty)
        return packets
    }

    // MARK: Strangers

    @Test func anUnknownVersionIsNegotiated() throws {
        let simulation = try Simulation()
        var options = HTTP3Client.Options()
        options.version = 0x1a2a_3a4a
        let client = simulation.connect(options)
        client.request()
        #expect(simulation.run { client.receivedVersionNegotiation })
        #expect(simulation.endpoint.connectionCount == 0)
    }

    @Test func aSmallDatagramOfAnUnknownVersionIsNotAnswered() throws {
        let simulation = try Simulation()
        var datagram = [UInt8](repeating: 0, count: 1199)
        datagram.replaceSubrange(0..<7, with: [0xc3, 0x1a, 0x2a, 0x3a, 0x4a, 8, 1])
        receive(datagram, simulation)
        #expect(simulation.endpoint.nextTransmit(into: simulation.buffer) == nil)
        datagram.append(0)
        receive(datagram, simulation)
        #expect(simulation.endpoint.nextTransmit(into: simulation.buffer) != nil)
    }

    @Test func statelessAnswersAreBounded() throws {
        let simulation = try Simulation(statelessAnswers: 10)
        var datagram = [UInt8](repeating: 0, count: 1200)
        datagram.replaceSubrange(0..<7, with: [0xc3, 0x1a, 0x2a, 0x3a, 0x4a, 8, 1])
        var answers = 0
        for _ in 0..<100 { receive(datagram, simulation) }
        while simulation.endpoint.nextTransmit(into: simulation.buffer) != nil { answers += 1 }
        #expect(answers == 10)
        simulation.now = simulation.now + .seconds(1)
        for _ in 0..<100 { receive(datagram, simulation) }
        while simulation.endpoint.nextTransmit(into: simulation.buffer) != nil { answers += 1 }
        #expect(answers == 20)
    }

    private func receive(_ datagram: [UInt8], _ simulation: Simulation, port: UInt16 = 5000) {
        let remote = SocketAddress(literal: "10.9.9.9", port: port)!
        datagram.withUnsafeBytes {
            _ = simulation.endpoint.receive(
                $0,
                local: simulation.serverAddress,
                remote: remote,
                ecn: 0,
                now: simulation.now
            )
        }
    }

    @Test func garbageIsDroppedWithoutATrace() throws {
        let simulation = try Simulation()
        var generator = SeededGenerator(seed: 7)
        for length in 0..<1500 {
            var datagram = (0..<length).map { _ in UInt8.random(in: 0...255, using: &generator) }
            receive(datagram, simulation)
            // As if it were of version 1.
            if length > 20 {
                datagram.replaceSubrange(0..<6, with: [0xc0 | datagram[0], 0, 0, 0, 1, UInt8(length % 22)])
                receive(datagram, simulation)
            }
        }
        simulation.run(for: 30)
        #expect(simulation.endpoint.connectionCount == 0)
        #expect(simulation.endpoint.table.count == 0)
    }

    /// RFC 9000 §6.1: else two servers could be made to negotiate with each other for ever.
    @Test func aVersionNegotiationIsNotAnswered() throws {
        let simulation = try Simulation()
        var datagram = [UInt8](repeating: 0, count: 1200)
        for (version, isAnswered) in [([0x1a, 0x2a, 0x3a, 0x4a], true), ([0, 0, 0, 0], false)] as [([UInt8], Bool)] {
            datagram.replaceSubrange(0..<7, with: [0xc3] + version + [8, 1])
            receive(datagram, simulation)
            #expect((simulation.endpoint.nextTransmit(into: simulation.buffer) != nil) == isAnswered)
        }
    }

    @Test func reflectionPortsAreNotAnswered() throws {
        let simulation = try Simulation()
        var datagram = [UInt8](repeating: 0, count: 1200)
        datagram.replaceSubrange(0..<7, with: [0xc3, 0x1a, 0x2a, 0x3a, 0x4a, 8, 1])
        for port: UInt16 in [0, 53, 123, 1900] { receive(datagram, simulation, port: port) }
        #expect(simulation.endpoint.nextTransmit(into: simulation.buffer) == nil)
    }

    @Test(arguments: [1, 2, 3, 4] as [UInt64])
    func damagedPacketsDoNoHarm(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        let simulation = try Simulation { $0.echo($1, $2) }
        simulation.network.intercept = { bytes, _ in
            var bytes = bytes
            switch Int.random(in: 0..<10, using: &generator) {
            case 0:
                bytes[Int.random(in: 0..<bytes.count, using: &generator)] ^=
                    1 << UInt8.random(in: 0...7, using: &generator)
            case 1: bytes.removeLast(Int.random(in: 0..<bytes.count, using: &generator))
            default: break
            }
            return bytes
        }
        let client = simulation.connect()
        let content = [UInt8](repeating: 3, count: 100_000)
        let id = client.request("POST", "/", upload: .init(pieces: content))
        #expect(simulation.run(for: 120) { client.responses[id]?.ended == true || client.isOver })
        #expect(client.responses[id]?.body == content)
    }

    @Test func newcomersBeyondTheLimitAreRefused() throws {
        var limits = Limits()
        limits.maxConnections = 2
        let simulation = try Simulation(limits: limits)
        _ = established(simulation)
        _ = established(simulation)
        let third = simulation.connect()
        third.request()
        #expect(simulation.run { third.isOver })
        #expect(third.serverCloseCode == code(NGTCP2_CONNECTION_REFUSED))
        #expect(simulation.endpoint.connectionCount == 2)
    }

    // MARK: Connection IDs

    @Test func theTableIsEmptyWhenAllConnectionsAreOver() throws {
        let simulation = try Simulation()
        let clients = (0..<10).map { _ in established(simulation) }
        // The client's first ID, ours, and as many more as the client may hold.
        #expect(simulation.endpoint.table.count >= 10 * 8)
        for client in clients {
            let packet = client.close(now: simulation.now)
            simulation.network.send(packet, from: client.local, to: simulation.serverAddress, now: simulation.now)
        }
        #expect(simulation.run { simulation.endpoint.connectionCount == 0 })
        // The draining period.
        #expect(simulation.endpoint.table.count > 0)
        simulation.run(for: 10)
        #expect(simulation.endpoint.table.count == 0)
        #expect(simulation.endpoint.deadline == nil)
    }

    @Test func aClientThatMigratesTakesAnotherID() throws {
        let simulation = try Simulation()
        let client = established(simulation)
        simulation.run(for: 1)
        let connection = try #require(simulation.connections.first)
        let before = Set(connection.identifiers)
        client.migrate(to: SocketAddress(literal: "10.0.0.77", port: 999)!, now: simulation.now)
        simulation.run(for: 2)
        let id = client.request()
        #expect(simulation.run { client.responses[id]?.ended == true })
        simulation.run(for: 5)
        let after = Set(connection.identifiers)
        #expect(!before.subtracting(after).isEmpty && !after.subtracting(before).isEmpty)
        // The table follows: what is retired leads nowhere, what is new leads here.
        for identifier in before.subtracting(after) { #expect(simulation.endpoint.table[identifier] == nil) }
        #expect(simulation.endpoint.table.count == after.count)
        #expect(connection.info != nil)
    }

    @Test func everyIssuedIDIsOurs() throws {
        let secrets = QUICSecrets.random()
        let simulation = try Simulation(secrets: secrets, slots: (3, 5))
        _ = established(simulation)
        let connection = try #require(simulation.connections.first)
        let own = connection.identifiers.filter { simulation.endpoint.routing.owner(of: $0) == .ourselves }
        #expect(own.count == connection.identifiers.count - 1)
    }

    @Test func aConnectionThatIsGoneIsResetStatelessly() throws {
        let secrets = QUICSecrets.random()
        let first = try Simulation(secrets: secrets)
        let client = established(first)
        // The worker's successor knows the secrets, but not the connection.
        let second = try Simulation(secrets: secrets)
        client.request()
        for packet in try nextPackets(client, first) {
            packet.withUnsafeBytes {
                _ = second.endpoint.receive($0, local: client.remote, remote: client.local, ecn: 0, now: first.now)
            }
            while let answer = second.endpoint.nextTransmit(into: second.buffer) {
                #expect(answer.bytes.count < packet.count)
                client.receive(Array(answer.bytes), now: first.now)
            }
        }
        #expect(client.receivedStatelessReset)
    }

    @Test func anotherWorkersConnectionIsNotReset() throws {
        let secrets = QUICSecrets.random()
        let first = try Simulation(secrets: secrets, slots: (0, 2))
        let client = established(first)
        let second = try Simulation(secrets: secrets, slots: (1, 2))
        let stranger = try Simulation(secrets: .random(), slots: (0, 2))
        client.request()
        for packet in try nextPackets(client, first) {
            for other in [second, stranger] {
                let slot = packet.withUnsafeBytes {
                    other.endpoint.receive($0, local: client.remote, remote: client.local, ecn: 0, now: first.now)
                }
                // Its owner's; of a server with other secrets nobody's.
                #expect(slot == (other === second ? 0 : nil))
                #expect(other.endpoint.nextTransmit(into: other.buffer) == nil)
            }
        }
    }

    // MARK: Garbage inside

    @Test(arguments: [1, 2, 3, 4, 5, 6] as [UInt64])
    func streamsOfGarbageEndAtMostTheirConnection(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        let simulation = try Simulation { $0.echo($1, $2) }
        for _ in 0..<20 {
            let client = established(simulation)
            for _ in 0..<8 {
                var bytes = (0..<Int.random(in: 0...200, using: &generator))
                    .map { _ in
                        UInt8.random(in: 0...255, using: &generator)
                    }
                // A plausible beginning: a frame of a known type with a length.
                if Bool.random(using: &generator) {
                    let kind = UInt8([0, 1, 3, 4, 5, 7, 13].randomElement(using: &generator) ?? 0)
                    bytes.insert(contentsOf: [kind, UInt8.random(in: 0...63, using: &generator)], at: 0)
                }
                let bidirectional = Bool.random(using: &generator)
                client.sendRaw(bytes, bidirectional: bidirectional, fin: Bool.random(using: &generator))
            }
            simulation.run(for: 0.5)
        }
        // The server lives, and serves.
        _ = established(simulation)
        simulation.run(for: 120)
        #expect(simulation.endpoint.connectionCount == 0)
        #expect(simulation.endpoint.table.count == 0)
    }

    // MARK: Ends

    @Test func aSilentClientTimesOut() throws {
        var limits = Limits()
        limits.quicIdleTimeout = 5
        var resets: [StreamReset] = []
        let simulation = try Simulation(limits: limits) { simulation, connection, event in
            if case .reset(let id, let reason) = event {
                resets.append(reason)
                connection.applicationEnded(on: id)
            }
        }
        let client = simulation.connect()
        client.request("POST", "/", upload: .init(pieces: [1], isComplete: false))
        simulation.run(for: 1)
        simulation.network.intercept = { _, _ in nil }
        let start = simulation.now
        #expect(simulation.run(for: 10) { !simulation.ended.isEmpty })
        #expect(simulation.now.since(start) > .seconds(3.5))
        #expect(resets == [.connectionLost])
        #expect(simulation.ended.first?.connectionError?.kind == .timeout)
        #expect(simulation.endpoint.table.count == 0)
    }

    @Test func anIdleConnectionEndsWithoutAnError() throws {
        let simulation = try Simulation()
        let client = established(simulation)
        simulation.network.intercept = { _, _ in nil }
        #expect(simulation.run(for: 40) { !simulation.ended.isEmpty })
        #expect(simulation.ended.first?.disposition == .close)
        #expect(simulation.ended.first?.connectionError == nil)
        #expect(simulation.run(for: 40) { client.isOver })
    }

    @Test func aHandshakeThatDoesNotEndTimesOut() throws {
        var limits = Limits()
        limits.handshakeTimeout = 3
        let simulation = try Simulation(limits: limits)
        let client = simulation.connect()
        client.request()
        let address = client.local
        simulation.network.intercept = { bytes, target in target == address ? nil : bytes }
        simulation.run(for: 2)
        #expect(simulation.endpoint.connectionCount >= 1)
        simulation.network.intercept = { _, _ in nil }
        simulation.run(for: 4)
        #expect(simulation.endpoint.connectionCount == 0)
        #expect(simulation.ended.allSatisfy { $0.connectionError?.kind == .timeout })
    }

    @Test func lateDatagramsOfAClosedConnectionAreAnsweredMoreAndMoreRarely() throws {
        let simulation = try Simulation()
        let client = established(simulation)
        let connection = try #require(simulation.connections.first)
        simulation.network.intercept = { _, _ in nil }
        connection.closeNow(now: simulation.now)
        #expect(connection.disposition == .close)
        var answers = 0
        while simulation.endpoint.nextTransmit(into: simulation.buffer) != nil { answers += 1 }
        #expect(answers == 1)
        client.request()
        let packet = try #require(try nextPackets(client, simulation).first)
        for _ in 0..<16 {
            receive(packet, simulation)
            while simulation.endpoint.nextTransmit(into: simulation.buffer) != nil { answers += 1 }
        }
        // For the first, second, fourth, eighth and sixteenth packet.
        #expect(answers == 6)
    }

    @Test func shutdownLetsRequestsFinishAndRefusesNewOnes() throws {
        var server: (HTTP3Connection, StreamID)?
        let simulation = try Simulation { simulation, connection, event in
            if case .request(let id, let head) = event {
                guard head.target == "/slow" else { return simulation.answer(connection, id, "fast") }
                server = (connection, id)
            }
        }
        let client = established(simulation)
        let slow = client.request("GET", "/slow")
        #expect(simulation.run { server != nil })
        simulation.endpoint.shutdown(now: simulation.now)
        #expect(simulation.run(for: 3) { client.goaways.count == 2 })
        // RFC 9114 §5.2: first the largest ID, then the one behind the last request.
        #expect(client.goaways.first == Int64(1) << 62 - 4)
        #expect(client.goaways.last == slow + 4)
        #expect(!client.isOver)
        let newcomer = simulation.connect()
        newcomer.request()
        #expect(simulation.run { newcomer.isOver })
        #expect(newcomer.serverCloseCode == code(NGTCP2_CONNECTION_REFUSED))
        let (connection, stream) = try #require(server)
        simulation.answer(connection, stream, "whole")
        #expect(simulation.run { client.isOver })
        #expect(client.responses[slow]?.body == Array("whole".utf8))
        #expect(client.serverCloseCode == code(NGHTTP3_H3_NO_ERROR))
        #expect(connection.disposition == .close)
        #expect(connection.connectionError == nil)
    }

    @Test func shutdownOfAnIdleConnectionEndsIt() throws {
        let simulation = try Simulation()
        let client = established(simulation)
        simulation.run(for: 1)
        simulation.endpoint.shutdown(now: simulation.now)
        #expect(simulation.run(for: 3) { client.isOver })
        #expect(client.serverCloseCode == code(NGHTTP3_H3_NO_ERROR))
        #expect(simulation.endpoint.connectionCount == 0)
    }

    @Test func thousandsOfIdleConnectionsCostNothingUntilTheyAreDue() throws {
        let simulation = try Simulation()
        for _ in 0..<50 { _ = established(simulation) }
        simulation.run(for: 5)
        // Far fewer wake-ups than connections times anything: each is due when it is silent for too long.
        let deadline = try #require(simulation.endpoint.deadline)
        #expect(deadline > simulation.now)
        simulation.network.intercept = { _, _ in nil }
        #expect(simulation.run(for: 60) { simulation.endpoint.connectionCount == 0 })
    }
}
