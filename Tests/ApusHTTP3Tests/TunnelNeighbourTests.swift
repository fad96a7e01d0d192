import ApusGateway
import ApusHTTP
import ApusHTTP3
import ApusTestClients
import Testing

@Suite struct TunnelNeighbourTests {
    let application = TunnelApplication()

    private func simulation(_ limits: Limits = Limits()) throws -> Simulation {
        try Simulation(limits: limits, webSockets: true, handler: application.handle)
    }

    @Test func `tunnels that the application does not read do not hold up their neighbours`() throws {
        application.echoes = true
        let simulation = try simulation()
        let client = simulation.connect()
        // More than the connection's own window, and what may wait besides, could hold.
        let silent = (0..<12).map { _ in simulation.openTunnel(client) }
        let lively = simulation.openTunnel(client)
        application.unread = Set(silent.map { StreamID(UInt64($0)) })
        for id in silent { client.write(pattern(400_000, Int(id)), on: id) }
        simulation.run(for: 5)
        for id in application.unread {
            let count = application.received[id]?.count ?? 0
            #expect(count > 250_000 && count <= Limits().streamReceiveWindow)
        }
        client.write(pattern(1_000_000), on: lively)
        #expect(simulation.run(for: 5) { client.responses[lively]?.body.count == 1_000_000 })
        #expect(client.read(on: lively).elementsEqual(pattern(1_000_000)))
        // They go on where they stood.
        for id in silent { application.read(StreamID(UInt64(id))) }
        #expect(simulation.run(for: 5) { silent.allSatisfy { client.responses[$0]?.body.count == 400_000 } })
        for id in silent { #expect(client.read(on: id).elementsEqual(pattern(400_000, Int(id)))) }
    }

    @Test func `a tunnel that the client does not read does not hold up its neighbours`() throws {
        let simulation = try simulation()
        let client = simulation.connect(.init(streamWindow: 64 * 1024))
        let silent = simulation.openTunnel(client)
        let lively = simulation.openTunnel(client)
        client.unread = [silent]
        application.write(Bytes(pattern(400_000)), on: StreamID(0))
        application.write(Bytes(pattern(400_000, 1)), on: StreamID(4))
        let next = client.request()
        #expect(simulation.run(for: 5) { client.responses[lively]?.body.count == 400_000 })
        #expect(client.responses[next]?.ended == true)
        let count = client.responses[silent]?.body.count ?? 0
        #expect(count > 64 * 1024 - 512 && count < 64 * 1024)
        #expect(application.writable == [StreamID(4)])
        client.unread = []
        client.consume(silent)
        #expect(simulation.run(for: 5) { client.responses[silent]?.body.count == 400_000 })
        #expect(client.read(on: silent).elementsEqual(pattern(400_000)))
    }

    @Test func `a tunnel that never stops sending leaves its neighbours their turn`() throws {
        let chunk = Bytes(pattern(64 * 1024))
        let application = application
        // The path is the bottleneck, so that the tunnel always has something to send.
        let simulation = try Simulation(
            webSockets: true,
            conditions: SimulatedNetwork.Conditions(loss: 0.02)
        ) { simulation, connection, event in
            application.handle(simulation, connection, event)
            if case .writable(let id) = event, id == StreamID(0) {
                for _ in 0..<5 { connection.send(.body(chunk, end: false), on: id) }
            }
        }
        let client = simulation.connect(.init(streamWindow: 1 << 30, connectionWindow: 1 << 30))
        _ = simulation.openTunnel(client)
        for _ in 0..<5 { application.write(chunk, on: StreamID(0)) }
        simulation.run(for: 2)
        #expect(application.connection?.bufferedOutput(on: StreamID(0)) ?? 0 > 0)
        let before = client.responses[0]?.body.count ?? 0
        let next = client.request()
        #expect(simulation.run(for: 1) { client.responses[next]?.ended == true })
        simulation.run(for: 2)
        #expect((client.responses[0]?.body.count ?? 0) > before + 100_000)
    }
}
