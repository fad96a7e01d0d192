import ApusGateway
import ApusHTTP
import ApusHTTP3
import ApusTestClients
import CNghttp3
import Testing

@Suite struct WebSocketOpeningTests {
    let application = TunnelApplication()

    private func simulation(_ limits: Limits = Limits(), webSockets: Bool = true) throws -> Simulation {
        try Simulation(limits: limits, webSockets: webSockets, handler: application.handle)
    }

    /// The connection serves, and has nothing left of what was before.
    private func serves(_ simulation: Simulation, _ client: HTTP3Client) -> Bool {
        let next = client.request()
        return simulation.run { client.responses[next]?.ended == true }
            && simulation.run(for: 5) { simulation.connections.first?.openStreams == 0 }
    }

    @Test(arguments: [true, false])
    func `the settings announce extended connect where it is on`(isOn: Bool) throws {
        let simulation = try simulation(webSockets: isOn)
        let client = simulation.connect()
        #expect(simulation.run { client.allowsExtendedConnect != nil })
        #expect(client.allowsExtendedConnect == isOn)
    }

    @Test(arguments: ["websocket", "WebSocket"])
    func `an opening says that it is one and what may follow`(name: String) throws {
        let simulation = try simulation()
        let client = simulation.connect()
        _ = client.openWebSocket("/chat?room=1", protocol: name, fields: ["origin": "https://example.org"])
        #expect(simulation.run { !application.heads.isEmpty })
        let head = try #require(application.heads[StreamID(0)])
        #expect(head.isWebSocket)
        #expect(head.hasBody)
        #expect(head.method == "CONNECT")
        #expect(head.target == "/chat?room=1")
        #expect(head.scheme == "https")
        #expect(head.headers["host"] == "localhost")
        #expect(head.headers["origin"] == "https://example.org")
        #expect(head.headers[":protocol"] == nil)
    }

    @Test func `an opening that is also the end of its side has one to come`() throws {
        application.endsWithPeer = false
        let simulation = try simulation()
        let client = simulation.connect()
        let id = client.request(pseudo: HTTP3Client.webSocket("/"))
        #expect(simulation.run { application.ended.contains(StreamID(0)) })
        #expect(application.heads[StreamID(0)]?.hasBody == true)
        application.write("bye", end: true, on: StreamID(0))
        application.connection?.applicationEnded(on: StreamID(0))
        #expect(simulation.run { client.responses[id]?.ended == true })
        #expect(client.read(on: id) == Array("bye".utf8))
        #expect(serves(simulation, client))
    }

    @Test func `a request without the protocol is none`() throws {
        let simulation = try simulation()
        let client = simulation.connect()
        let id = client.request("GET", "/", fields: ["sec-websocket-version": "13"])
        #expect(simulation.run { client.responses[id]?.ended == true })
        #expect(application.heads[StreamID(0)]?.isWebSocket == false)
    }

    // MARK: Refusals

    @Test(arguments: ["connect-udp", "websocket2", "websocke"])
    func `another protocol is not implemented and harms nobody`(name: String) throws {
        let simulation = try simulation()
        let client = simulation.connect()
        let id = client.openWebSocket(protocol: name)
        #expect(simulation.run { client.responses[id]?.ended == true })
        #expect(client.responses[id]?.status == 501)
        #expect(application.heads.isEmpty)
        #expect(serves(simulation, client))
    }

    @Test(arguments: [true, false])
    func `plain connect is not implemented`(webSockets: Bool) throws {
        let simulation = try simulation(webSockets: webSockets)
        let client = simulation.connect()
        let id = client.request(pseudo: [(":method", "CONNECT"), (":authority", "example.org:443")])
        #expect(simulation.run { client.responses[id]?.ended == true })
        #expect(client.responses[id]?.status == 501)
        #expect(serves(simulation, client))
    }

    @Test func `extended connect is malformed where it was not announced`() throws {
        let simulation = try simulation(webSockets: false)
        let client = simulation.connect()
        let id = client.openWebSocket()
        #expect(simulation.run { client.responses[id]?.resetCode != nil })
        #expect(client.responses[id]?.resetCode == code(NGHTTP3_H3_MESSAGE_ERROR))
        #expect(application.heads.isEmpty)
        #expect(serves(simulation, client))
    }

    static let malformed: [[(String, String)]] = [
        // RFC 8441 §4: scheme, path and authority are there, and the method is CONNECT.
        [(":method", "GET"), (":protocol", "websocket")] + HTTP3Client.pseudo("GET", "/").dropFirst(),
        HTTP3Client.webSocket("/").filter { $0.0 != ":path" },
        HTTP3Client.webSocket("/").filter { $0.0 != ":scheme" },
        HTTP3Client.webSocket("/").filter { $0.0 != ":authority" },
        HTTP3Client.webSocket("/") + [(":protocol", "websocket")],
    ]

    @Test(arguments: malformed.indices)
    func `an opening that lacks or repeats a pseudo-field is malformed`(index: Int) throws {
        let simulation = try simulation()
        let client = simulation.connect()
        let id = client.request(pseudo: Self.malformed[index], upload: .init(isComplete: false))
        #expect(simulation.run { client.responses[id]?.resetCode != nil })
        #expect(client.responses[id]?.resetCode == code(NGHTTP3_H3_MESSAGE_ERROR))
        #expect(application.heads.isEmpty)
        #expect(serves(simulation, client))
    }

    @Test func `a denial is a response like others`() throws {
        application.accepts = false
        let simulation = try simulation()
        let client = simulation.connect()
        let id = client.openWebSocket(early: [1, 2, 3])
        #expect(simulation.run { application.received[StreamID(0)]?.count == 3 })
        let connection = try #require(application.connection)
        simulation.answer(connection, StreamID(0), "go away", status: 403)
        #expect(simulation.run { client.responses[id]?.ended == true })
        #expect(client.responses[id]?.status == 403)
        #expect(client.read(on: id) == Array("go away".utf8))
        // The client, which has not ended its side, is told to when it has had time to see the response.
        #expect(simulation.run(for: 2) { client.responses[id]?.closeCode == code(NGHTTP3_H3_NO_ERROR) })
        #expect(serves(simulation, client))
    }

    // MARK: Before the answer

    @Test func `bytes that come before the answer wait within the window`() throws {
        var limits = Limits()
        limits.streamReceiveWindow = 4096
        application.accepts = false
        application.unread = [StreamID(0)]
        let simulation = try simulation(limits)
        let client = simulation.connect()
        let bytes = (0..<10_000).map { UInt8(truncatingIfNeeded: $0) }
        let id = client.openWebSocket(early: bytes)
        simulation.run(for: 3)
        let early = try #require(application.received[StreamID(0)]?.count)
        #expect(early > 3500 && early <= 4096)
        #expect(client.responses[id]?.status == nil)
        application.accept(StreamID(0))
        simulation.run(for: 3)
        #expect(client.responses[id]?.status == 200)
        #expect(application.received[StreamID(0)]?.count == early)
        application.read(StreamID(0))
        #expect(simulation.run { application.received[StreamID(0)] == bytes })
    }
}
