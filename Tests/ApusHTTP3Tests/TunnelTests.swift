import ApusGateway
import ApusHTTP
import ApusTestClients
import CNghttp3
import Testing

@testable import ApusHTTP3

@Suite struct TunnelTests {
    let application = TunnelApplication()

    private func simulation(
        _ conditions: SimulatedNetwork.Conditions = .init(),
        seed: UInt64 = 1
    ) throws -> Simulation {
        try Simulation(webSockets: true, conditions: conditions, seed: seed, handler: application.handle)
    }

    // MARK: Bytes

    @Test func `bytes go both ways and the acceptance has no end`() throws {
        let simulation = try simulation()
        let client = simulation.connect()
        let id = simulation.openTunnel(client)
        #expect(client.responses[id]?.ended == false)
        #expect(client.responses[id]?.fields["content-length"] == nil)
        for round in 0..<5 {
            client.write(pattern(100, round), on: id)
            #expect(simulation.run { application.received[StreamID(0)]?.count == (round + 1) * 100 })
            application.write(Bytes(pattern(50, round)), on: StreamID(0))
            #expect(simulation.run { client.responses[id]?.body.count == 50 })
            #expect(client.read(on: id) == pattern(50, round))
        }
        #expect(client.responses[id]?.ended == false)
    }

    @Test(
        arguments: [0.0, 0.05, 0.15],
        [1, 2, 3] as [UInt64]
    )
    func `nothing is lost or out of order on a bad path`(loss: Double, seed: UInt64) throws {
        application.echoes = true
        let conditions = SimulatedNetwork.Conditions(jitter: 20_000_000, loss: loss, duplication: 0.05)
        let simulation = try simulation(conditions, seed: seed)
        let client = simulation.connect()
        let ids = (0..<4).map { _ in simulation.openTunnel(client) }
        for round in 0..<20 {
            for id in ids { client.write(pattern(3000, round), end: round == 19, on: id) }
            simulation.run(for: 0.05)
        }
        #expect(simulation.run(for: 120) { ids.allSatisfy { client.responses[$0]?.ended == true } })
        let expected = (0..<20).flatMap { pattern(3000, $0) }
        for id in ids { #expect(client.read(on: id).elementsEqual(expected)) }
        #expect(simulation.run(for: 30) { simulation.connections.first?.openStreams == 0 })
        #expect(application.resets.isEmpty)
    }

    // MARK: Ends

    @Test func `the peer's end is one and ours may follow later`() throws {
        application.endsWithPeer = false
        let simulation = try simulation()
        let client = simulation.connect()
        let id = simulation.openTunnel(client)
        client.write([1], end: true, on: id)
        #expect(simulation.run { application.ended.contains(StreamID(0)) })
        simulation.run(for: 5)
        application.write("late", on: StreamID(0))
        #expect(simulation.run { client.responses[id]?.body == Array("late".utf8) })
        application.write(Bytes(), end: true, on: StreamID(0))
        #expect(simulation.run { client.responses[id]?.closeCode != nil })
        #expect(client.responses[id]?.ended == true)
        #expect(client.responses[id]?.closeCode == code(NGHTTP3_H3_NO_ERROR))
        application.connection?.applicationEnded(on: StreamID(0))
        #expect(simulation.run(for: 1) { simulation.connections.first?.openStreams == 0 })
        #expect(application.resets.isEmpty)
    }

    @Test func `after our end the peer has as long as the application gives it`() throws {
        let simulation = try simulation()
        let client = simulation.connect()
        let id = simulation.openTunnel(client)
        application.write("bye", end: true, on: StreamID(0))
        #expect(simulation.run { client.responses[id]?.ended == true })
        // Far longer than an early answer's patience.
        simulation.run(for: 9)
        #expect(client.responses[id]?.closeCode == nil)
        client.write([7, 8], on: id)
        #expect(simulation.run { application.received[StreamID(0)] == [7, 8] })
        client.write([9], end: true, on: id)
        #expect(simulation.run { application.ended.contains(StreamID(0)) })
        #expect(application.received[StreamID(0)] == [7, 8, 9])
        #expect(simulation.run { client.responses[id]?.closeCode == code(NGHTTP3_H3_NO_ERROR) })
        #expect(simulation.run(for: 1) { simulation.connections.first?.openStreams == 0 })
    }

    @Test(arguments: [true, false])
    func `an application that waits no longer cancels both sides`(endedBefore: Bool) throws {
        let simulation = try simulation()
        let client = simulation.connect()
        let id = simulation.openTunnel(client)
        if endedBefore {
            application.write("bye", end: true, on: StreamID(0))
            simulation.run(for: 1)
        }
        application.connection?.send(.reset(.cancelled), on: StreamID(0))
        application.connection?.applicationEnded(on: StreamID(0))
        #expect(simulation.run { client.responses[id]?.closeCode != nil })
        #expect(client.responses[id]?.closeCode == code(NGHTTP3_H3_REQUEST_CANCELLED))
        #expect(client.responses[id]?.resetCode == (endedBefore ? nil : code(NGHTTP3_H3_REQUEST_CANCELLED)))
        #expect(simulation.run(for: 5) { simulation.connections.first?.openStreams == 0 })
        #expect(application.resets.isEmpty)
    }

    @Test(arguments: [true, false])
    func `a tunnel that nobody is left at is stopped like a request`(endsLate: Bool) throws {
        let simulation = try simulation()
        let client = simulation.connect()
        let id = simulation.openTunnel(client)
        application.write("bye", end: true, on: StreamID(0))
        if endsLate { #expect(simulation.run { client.responses[id]?.ended == true }) }
        application.connection?.applicationEnded(on: StreamID(0))
        #expect(application.connection?.openTunnels == 0)
        simulation.run(for: 0.9)
        #expect(client.responses[id]?.ended == true)
        #expect(client.responses[id]?.closeCode == nil)
        simulation.run(for: 0.3)
        #expect(client.responses[id]?.closeCode == code(NGHTTP3_H3_NO_ERROR))
        #expect(simulation.run(for: 5) { simulation.connections.first?.openStreams == 0 })
    }

    @Test(arguments: [true, false])
    func `a peer that resets is gone, after our end too`(endedBefore: Bool) throws {
        let simulation = try simulation()
        let client = simulation.connect()
        let id = simulation.openTunnel(client)
        if endedBefore {
            application.write("bye", end: true, on: StreamID(0))
            #expect(simulation.run { client.responses[id]?.ended == true })
        }
        client.reset(id)
        #expect(simulation.run(for: 1) { !application.resets.isEmpty })
        #expect(application.resets == [StreamID(0): .cancelled])
        #expect(simulation.run(for: 5) { simulation.connections.first?.openStreams == 0 })
    }

    @Test func `a connection that is lost takes tunnels with it that only wait for the peer's end`() throws {
        let simulation = try simulation()
        let client = simulation.connect()
        let id = simulation.openTunnel(client)
        application.write("bye", end: true, on: StreamID(0))
        #expect(simulation.run { client.responses[id]?.ended == true })
        simulation.network.send(
            client.close(now: simulation.now),
            from: client.local,
            to: simulation.serverAddress,
            now: simulation.now
        )
        #expect(simulation.run(for: 1) { !application.resets.isEmpty })
        #expect(application.resets == [StreamID(0): .connectionLost])
    }

    @Test func `a shutdown lets tunnels go on until they end`() throws {
        application.echoes = true
        let simulation = try simulation()
        let client = simulation.connect()
        let id = simulation.openTunnel(client)
        simulation.endpoint.shutdown(now: simulation.now)
        simulation.run(for: 100)
        #expect(!client.isOver)
        #expect(client.goaways.last == 4)
        client.write([1, 2, 3], on: id)
        #expect(simulation.run { client.responses[id]?.body == [1, 2, 3] })
        client.write([], end: true, on: id)
        #expect(simulation.run { client.responses[id]?.ended == true })
        #expect(simulation.run(for: 5) { client.isOver })
        #expect(client.serverCloseCode == code(NGHTTP3_H3_NO_ERROR))
    }

    @Test func `anything but bytes in a tunnel ends the connection`() throws {
        let simulation = try simulation()
        let client = simulation.connect()
        let id = simulation.openTunnel(client)
        _ = simulation.openTunnel(client)
        // RFC 9114 §4.4: HEADERS once the tunnel is open.
        client.uploads[id]?.trailers = ["x-trailer": "1"]
        client.write([1], end: true, on: id)
        #expect(simulation.run(for: 1) { client.isOver })
        #expect(client.serverCloseCode == code(NGHTTP3_H3_FRAME_UNEXPECTED))
        #expect(application.resets == [StreamID(0): .connectionLost, StreamID(4): .connectionLost])
    }
}
