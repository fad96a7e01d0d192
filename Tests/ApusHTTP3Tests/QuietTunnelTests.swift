import ApusGateway
import ApusHTTP
import ApusTestClients
import CNghttp3
import Testing

@testable import ApusHTTP3

@Suite struct QuietTunnelTests {
    let application = TunnelApplication()

    private func simulation(_ limits: Limits = Limits()) throws -> Simulation {
        try Simulation(limits: limits, webSockets: true, handler: application.handle)
    }

    @Test(arguments: [30, 8, 0] as [UInt64])
    func `a quiet tunnel keeps its connection past either side's idle timeout`(seconds: UInt64) throws {
        let simulation = try simulation()
        let client = simulation.connect(.init(idleTimeout: seconds * 1_000_000_000))
        let id = simulation.openTunnel(client)
        simulation.run(for: 600)
        #expect(!client.isOver)
        client.write([1], on: id)
        #expect(simulation.run(for: 1) { application.received[StreamID(0)] == [1] })
    }

    @Test func `a server without an idle timeout keeps to the client's`() throws {
        var limits = Limits()
        limits.quicIdleTimeout = 0
        let simulation = try simulation(limits)
        let client = simulation.connect(.init(idleTimeout: 10_000_000_000))
        _ = simulation.openTunnel(client)
        simulation.run(for: 100)
        #expect(!client.isOver)
    }

    @Test(arguments: [(2.0, true), (1.5, true), (0.9, false)])
    func `a client that is soon gone does not get more than a ping in a second`(timeout: Double, lives: Bool) throws {
        let simulation = try simulation()
        let client = simulation.connect(.init(idleTimeout: UInt64(timeout * 1_000_000_000)))
        _ = simulation.openTunnel(client)
        simulation.run(for: 3)
        #expect(client.isOver == !lives)
        let sent = simulation.serverDatagrams
        simulation.run(for: 20)
        #expect(client.isOver == !lives)
        // With each ping there may be an acknowledgement.
        #expect(simulation.serverDatagrams - sent <= 40)
    }

    @Test func `a dead peer is noticed although its tunnel is quiet`() throws {
        let simulation = try simulation()
        let client = simulation.connect()
        _ = simulation.openTunnel(client)
        simulation.run(for: 100)
        simulation.network.intercept = { _, _ in nil }
        let start = simulation.now
        #expect(simulation.run(for: 60) { !simulation.ended.isEmpty })
        #expect(simulation.now.since(start) < .seconds(46))
        #expect(application.resets == [StreamID(0): .connectionLost])
        #expect(simulation.ended.first?.connectionError?.kind == .timeout)
    }

    @Test(arguments: [true, false])
    func `the last tunnel's end lets the connection idle out`(isReset: Bool) throws {
        let simulation = try simulation()
        let client = simulation.connect()
        let ids = [simulation.openTunnel(client), simulation.openTunnel(client)]
        for (index, id) in ids.enumerated() {
            simulation.run(for: 100)
            #expect(!client.isOver, "before the end of tunnel \(index)")
            if isReset { client.reset(id) } else { client.write([], end: true, on: id) }
            #expect(simulation.run { simulation.connections.first?.openStreams == 1 - index })
        }
        simulation.run(for: 29)
        #expect(!client.isOver)
        simulation.run(for: 2)
        #expect(client.isOver)
        #expect(simulation.ended.first?.connectionError == nil)
    }

    @Test func `a tunnel whose application does not hear of its end keeps nothing alive`() throws {
        let simulation = try Simulation(webSockets: true) { _, connection, event in
            guard case .request(let id, _) = event else { return }
            connection.send(.head(ResponseHead(status: 200, headers: [:], opensTunnel: true)), on: id)
        }
        let client = simulation.connect()
        client.reset(simulation.openTunnel(client))
        #expect(simulation.run(for: 40) { client.isOver })
    }

    @Test func `a quiet tunnel holds no bytes`() throws {
        application.echoes = true
        let simulation = try simulation()
        let client = simulation.connect()
        let id = simulation.openTunnel(client)
        // Enough to come in bursts, and too little for bursts whose memory is never kept.
        client.write(pattern(20_000), on: id)
        #expect(simulation.run { client.responses[id]?.body.count == 20_000 })
        simulation.run(for: 1)
        let sink = try #require(application.connection?.sink)
        let stream = try #require(sink.pointee.streams[id])
        #expect(stream.pointee.body.held == 0)
        #expect(stream.pointee.unconsumed == 0)
        #expect(sink.pointee.arena.capacity <= HTTP3Constants.keptArenaWithTunnels)
    }

    @Test func `a peer that does not read a tunnel is given up in time`() throws {
        var limits = Limits()
        limits.sendStallTimeout = 5
        let simulation = try simulation(limits)
        let client = simulation.connect(.init(streamWindow: 16 * 1024))
        let id = simulation.openTunnel(client)
        client.unread = [id]
        application.write(Bytes(pattern(100_000)), on: StreamID(0))
        simulation.run(for: 4.5)
        #expect(application.resets.isEmpty)
        simulation.run(for: 1)
        #expect(application.resets == [StreamID(0): .excessiveLoad])
        #expect(client.responses[id]?.resetCode == code(NGHTTP3_H3_EXCESSIVE_LOAD))
        #expect(!client.isOver)
    }
}
