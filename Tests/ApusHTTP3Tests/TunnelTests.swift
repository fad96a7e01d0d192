import ApusGateway
import ApusHTTP
import CNghttp3
import Testing

@testable import ApusHTTP3

@Suite struct TunnelTests {
    let application = TunnelApplication()

    private func simulation(
        _ limits: Limits = Limits(),
        _ conditions: SimulatedNetwork.Conditions = .init(),
        seed: UInt64 = 1
    ) throws -> Simulation {
        try Simulation(
            limits: limits,
            webSockets: true,
            conditions: conditions,
            seed: seed,
            handler: application.handle
        )
    }

    /// Opens a WebSocket and waits for the server's 200.
    private func open(_ simulation: Simulation, _ client: TestClient) -> Int64 {
        let id = client.openWebSocket()
        #expect(simulation.run { client.responses[id]?.status == 200 })
        return id
    }

    private func pattern(_ count: Int, _ salt: Int = 0) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8 &+ salt) }
    }

    // MARK: Bytes

    @Test func `bytes go both ways and the acceptance has no end`() throws {
        let simulation = try simulation()
        let client = simulation.connect()
        let id = open(simulation, client)
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
        let simulation = try simulation(Limits(), conditions, seed: seed)
        let client = simulation.connect()
        let ids = (0..<4).map { _ in open(simulation, client) }
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
        let id = open(simulation, client)
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
        let id = open(simulation, client)
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
        let id = open(simulation, client)
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
        let id = open(simulation, client)
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
        let id = open(simulation, client)
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
        let id = open(simulation, client)
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
        let id = open(simulation, client)
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
        let id = open(simulation, client)
        _ = open(simulation, client)
        // RFC 9114 §4.4: HEADERS once the tunnel is open.
        client.uploads[id]?.trailers = ["x-trailer": "1"]
        client.write([1], end: true, on: id)
        #expect(simulation.run(for: 1) { client.isOver })
        #expect(client.serverCloseCode == code(NGHTTP3_H3_FRAME_UNEXPECTED))
        #expect(application.resets == [StreamID(0): .connectionLost, StreamID(4): .connectionLost])
    }

    // MARK: Quiet

    @Test(arguments: [30, 8, 0] as [UInt64])
    func `a quiet tunnel keeps its connection past either side's idle timeout`(seconds: UInt64) throws {
        let simulation = try simulation()
        let client = simulation.connect(.init(idleTimeout: seconds * 1_000_000_000))
        let id = open(simulation, client)
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
        _ = open(simulation, client)
        simulation.run(for: 100)
        #expect(!client.isOver)
    }

    @Test(arguments: [(2.0, true), (1.5, true), (0.9, false)])
    func `a client that is soon gone does not get more than a ping in a second`(timeout: Double, lives: Bool) throws {
        let simulation = try simulation()
        let client = simulation.connect(.init(idleTimeout: UInt64(timeout * 1_000_000_000)))
        _ = open(simulation, client)
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
        _ = open(simulation, client)
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
        let ids = [open(simulation, client), open(simulation, client)]
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
        client.reset(open(simulation, client))
        #expect(simulation.run(for: 40) { client.isOver })
    }

    @Test func `a quiet tunnel holds no bytes`() throws {
        application.echoes = true
        let simulation = try simulation()
        let client = simulation.connect()
        let id = open(simulation, client)
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
        let id = open(simulation, client)
        client.unread = [id]
        application.write(Bytes(pattern(100_000)), on: StreamID(0))
        simulation.run(for: 4.5)
        #expect(application.resets.isEmpty)
        simulation.run(for: 1)
        #expect(application.resets == [StreamID(0): .excessiveLoad])
        #expect(client.responses[id]?.resetCode == code(NGHTTP3_H3_EXCESSIVE_LOAD))
        #expect(!client.isOver)
    }

    // MARK: Neighbours

    @Test func `tunnels that the application does not read do not hold up their neighbours`() throws {
        application.echoes = true
        let simulation = try simulation()
        let client = simulation.connect()
        // More than the connection's own window, and what may wait besides, could hold.
        let silent = (0..<12).map { _ in open(simulation, client) }
        let lively = open(simulation, client)
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
        let silent = open(simulation, client)
        let lively = open(simulation, client)
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
        _ = open(simulation, client)
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
