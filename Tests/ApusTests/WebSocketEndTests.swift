import Apus
import ApusGateway
import Foundation
import Testing

@Suite("The end of a WebSocket", .timeLimit(.minutes(5)))
struct WebSocketEndTests {
    private struct Failed: Error {}

    /// Accepts, and tells what it receives until it is told of the end.
    private static func witness(_ events: Mailbox<String>) -> TestApplication {
        { _, receive, send in
            while true {
                let event = try await receive()
                events.put(name(event))
                if case .webSocketConnect = event { try await send(.webSocketAccept()) }
                if case .webSocketDisconnect = event { return }
            }
        }
    }

    @Test func `an application that returns closes with 1000, and one that throws with 1011`() async throws {
        try await withServer(application: { scope, receive, send in
            guard case .webSocket(let socket) = scope else { return }
            try await send(.webSocketAccept())
            try await send(.webSocketSend("last words"))
            switch socket.path {
            case "/throw": throw Failed()
            case "/within": try await send(.webSocketSend("and", more: true))
            default: return
            }
        }) { fixture in
            for (path, code) in [("/", 1000), ("/throw", 1011), ("/within", 1011)] {
                let client = try await fixture.webSocket(path)
                #expect(try await client.frame().text == "last words")
                #expect(try await client.closeFrame().code == code)
                try await client.close(code)
                #expect(try await client.raw.rest().isEmpty)
            }
            #expect(fixture.log.contains("error: GET /throw HTTP/1.1: the application threw: Failed()"))
            #expect(fixture.log.contains("error: GET /within HTTP/1.1: the application returned within a message"))
        }
    }

    @Test func `the closing handshake outlives the application`() async throws {
        let connection = WeakBox<ConnectionInfo>()
        try await withServer(application: { scope, _, send in
            guard case .http(let request) = scope else { return try await send(.webSocketAccept()) }
            connection.set(request.connection)
            try await pong(send)
        }) { fixture in
            let client = try fixture.client()
            try await client.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n" + WebSocketClient.request())
            #expect(try await client.response().body == "pong")
            #expect(try await client.response().status == 101)
            let socket = WebSocketClient(client)
            #expect(try await socket.frame().code == 1000)
            #expect(!connection.isEmpty)
            // What the peer had still to say may be long.
            for _ in 0..<20 { try await socket.send(WebSocketClient.binary, [UInt8](repeating: 0, count: 60_000)) }
            try await socket.close(1000)
            #expect(try await client.rest().isEmpty)
            try await expectEventually { connection.isEmpty }
        }
    }

    @Test func `a peer that does not answer our Close is cut off after the close timeout`() async throws {
        let events = Mailbox<String>()
        try await withServer(
            { $0.webSocket.closeTimeout = 0.05 },
            application: { _, receive, send in
                _ = try await receive()
                try await send(.webSocketAccept())
                try await send(.webSocketClose(code: 4000))
                events.put(name(try await receive()))
            }
        ) { fixture in
            let client = try await fixture.webSocket()
            #expect(try await client.frame().code == 4000)
            #expect(try await events.next() == "disconnect 1006 ")
            await #expect(throws: RawClient.Failure.self) { try await client.raw.rest() }
            #expect(fixture.log.contains("no answer to the Close frame"))
        }
    }

    @Test func `a Close frame without a code is a 1005`() async throws {
        let events = Mailbox<String>()
        try await withServer(application: Self.witness(events)) { fixture in
            let client = try await fixture.webSocket()
            try await client.send(WebSocketClient.close, [])
            #expect(try await events.next() == "connect")
            #expect(try await events.next() == "disconnect 1005 ")
            #expect(try await client.frame() == .init(opcode: WebSocketClient.close))
            #expect(try await client.raw.rest().isEmpty)
        }
    }

    @Test("A client that leaves without a word is a 1006", arguments: [true, false])
    func loss(_ byReset: Bool) async throws {
        let events = Mailbox<String>()
        try await withServer({ $0.disconnectGrace = 1000 }, application: Self.witness(events)) { fixture in
            let client = try await fixture.webSocket()
            try await client.send("last")
            #expect(try await events.next() == "connect")
            #expect(try await events.next() == "text last last")
            if byReset { client.raw.breakOff() } else { client.raw.finish() }
            #expect(try await events.next() == "disconnect 1006 ")
        }
    }

    @Test func `what came before the client left is still received`() async throws {
        let events = Mailbox<String>()
        let gate = Gate()
        try await withServer(
            { $0.disconnectGrace = 1000 },
            application: { scope, receive, send in
                _ = try await receive()
                try await send(.webSocketAccept())
                await gate.wait()
                while true {
                    let event = try await receive()
                    events.put(name(event))
                    if case .webSocketDisconnect = event { return }
                }
            }
        ) { fixture in
            let client = try await fixture.webSocket()
            for number in 0..<100 { try await client.send("\(number)") }
            client.raw.finish()
            // Its end has reached the server, and with it all that came before.
            #expect(try await !client.raw.endsWithFrames())
            gate.open()
            for number in 0..<100 { #expect(try await events.next() == "text \(number) last") }
            #expect(try await events.next() == "disconnect 1006 ")
        }
    }

    @Test func `a peer that breaks a rule is told which, and so is the log`() async throws {
        let events = Mailbox<String>()
        try await withServer(
            { $0.webSocket.maxMessageSize = 1000 },
            application: Self.witness(events)
        ) { fixture in
            let cases: [(Int, [UInt8])] = [
                (1002, [0x81, 0x01, 0x20]),
                (1007, WebSocketClient.bytes(WebSocketClient.text, [0xFF])),
                (1009, WebSocketClient.bytes(WebSocketClient.binary, [UInt8](repeating: 0, count: 1001))),
            ]
            for (code, bytes) in cases {
                let client = try await fixture.webSocket()
                try await client.send(WebSocketClient.binary, [UInt8](repeating: 0, count: 1000))
                try await client.raw.send(bytes)
                let close = try await client.frame()
                #expect(close.code == code)
                #expect(try await events.next() == "connect")
                #expect(try await events.next() == "binary 1000 last")
                #expect(try await events.next().hasPrefix("disconnect \(code) "))
                #expect(try await client.raw.rest().isEmpty)
            }
            let lines = fixture.log.lines.filter { $0.contains("info: 127.0.0.1:") && $0.contains("websocket: ") }
            #expect(lines.count == cases.count)
        }
    }

    @Test func `a peer that answers its pings stays`() async throws {
        try await withServer(
            {
                $0.webSocket.pingInterval = 0.01
                $0.webSocket.pingTimeout = 1000
            },
            application: webSocketEcho
        ) { fixture in
            let client = try await fixture.webSocket()
            for _ in 0..<5 {
                #expect(try await client.frame().opcode == WebSocketClient.ping)
                try await client.send(WebSocketClient.pong, [])
            }
            try await client.close(1000)
            #expect(try await client.closeFrame().code == 1000)
        }
    }

    @Test func `a silent peer is pinged, and lost when it does not answer`() async throws {
        let events = Mailbox<String>()
        try await withServer(
            {
                $0.webSocket.pingInterval = 0.01
                $0.webSocket.pingTimeout = 0.05
            },
            application: Self.witness(events)
        ) { fixture in
            let client = try await fixture.webSocket()
            #expect(try await events.next() == "connect")
            #expect(try await events.next() == "disconnect 1006 ")
            #expect(fixture.log.contains("no answer to a ping"))
            // The connection was broken off; what lay in its way may be read or not.
            _ = try? await client.raw.rest()
        }
    }

    @Test func `an idle WebSocket is closed with 1001 where there is such a bound`() async throws {
        let events = Mailbox<String>()
        try await withServer({ $0.webSocket.idleTimeout = 0.05 }, application: Self.witness(events)) { fixture in
            let client = try await fixture.webSocket()
            #expect(try await client.frame().code == 1001)
            try await client.close(1001)
            #expect(try await events.next() == "connect")
            #expect(try await events.next() == "disconnect 1001 ")
        }
    }

    // MARK: Cancellation

    @Test(
        "A task whose client has left, and that does not know it, is cancelled",
        arguments: [0.0, 0.02],
        [true, false]
    )
    func cancelled(_ grace: Double, _ saysGoodbye: Bool) async throws {
        let events = Mailbox<String>()
        try await withServer(
            { $0.disconnectGrace = grace },
            application: { _, _, send in
                try await send(.webSocketAccept())
                events.put("asleep")
                do {
                    try await Task.sleep(for: .seconds(1000))
                } catch {
                    events.put("cancelled")
                    throw error
                }
            }
        ) { fixture in
            let client = try await fixture.webSocket()
            #expect(try await events.next() == "asleep")
            if saysGoodbye { try await client.close(1000) } else { client.raw.breakOff() }
            #expect(try await events.next() == "cancelled")
            try await expectEventually { !fixture.log.contains("error: ") }
        }
    }

    @Test func `a message with the goodbye right behind it is worked on in peace`() async throws {
        let events = Mailbox<String>()
        try await withServer(application: { _, receive, send in
            _ = try await receive()
            try await send(.webSocketAccept())
            events.put(name(try await receive()))
            do {
                try await Task.sleep(for: .milliseconds(100))
                events.put("done")
            } catch {
                events.put("cancelled")
            }
        }) { fixture in
            let client = try await fixture.webSocket()
            let payload = WebSocketClient.closePayload(1000)
            try await client.raw.send(
                WebSocketClient.bytes(WebSocketClient.text, Array("order".utf8))
                    + WebSocketClient.bytes(WebSocketClient.close, payload)
            )
            _ = try await events.next()
            #expect(try await events.next() == "done")
        }
    }

    @Test func `a peer that reads slowly gets all of what was sent before the close`() async throws {
        let size = 2_000_000
        let reads = Gate()
        try await withServer(
            { $0.webSocket.closeTimeout = 2 },
            application: { _, receive, send in
                _ = try await receive()
                try await send(.webSocketAccept())
                await reads.wait()
                try await send(.webSocketSend(.binary(filler(size))))
            }
        ) { fixture in
            let client = try await fixture.webSocket(receiveBuffer: 16 * 1024)
            // Longer than closeTimeout in all, but never silent for that long.
            let taken = try await client.raw.takeSlowly(size, atOnce: size / 40, pause: 100) { reads.open() }
            #expect(taken == size)
        }
    }

    @Test func `a task that was told goodbye is left alone`() async throws {
        let events = Mailbox<String>()
        let gate = Gate()
        try await withServer(application: { _, receive, send in
            _ = try await receive()
            try await send(.webSocketAccept())
            events.put(name(try await receive()))
            await gate.wait()
            events.put("\(Task.isCancelled)")
        }) { fixture in
            let client = try await fixture.webSocket()
            try await client.close(1000)
            #expect(try await events.next() == "disconnect 1000 ")
            #expect(try await client.raw.rest().count == 4)
            gate.open()
            #expect(try await events.next() == "false")
        }
    }

    // MARK: Drain

    @Test func `a server that drains closes with 1001, and is done when the peers have answered`() async throws {
        let events = Mailbox<String>()
        let fixture = try await startServer({ $0.gracefulTimeout = 1000 }, application: Self.witness(events))
        let client = try await fixture.webSocket()
        #expect(try await events.next() == "connect")
        fixture.server.shutdown()
        #expect(try await events.next() == "disconnect 1001 ")
        #expect(try await client.frame().code == 1001)
        try await client.close(1001)
        #expect(try await client.raw.rest().isEmpty)
        client.raw.finish()
        try await fixture.run.value
    }

    @Test func `a drain waits for the Close frame no longer than the close timeout`() async throws {
        let events = Mailbox<String>()
        let fixture = try await startServer(
            {
                $0.gracefulTimeout = 1000
                $0.webSocket.closeTimeout = 0.05
            },
            application: Self.witness(events)
        )
        let client = try await fixture.webSocket()
        fixture.server.shutdown()
        #expect(try await client.frame().code == 1001)
        try await fixture.run.value
    }

    @Test func `an opening that is not decided when the server drains is a 503`() async throws {
        let events = Mailbox<String>()
        let fixture = try await startServer({ $0.gracefulTimeout = 1000 }) { _, receive, send in
            events.put(name(try await receive()))
            events.put(name(try await receive()))
            do { try await send(.webSocketAccept()) } catch { events.put("\(type(of: error))") }
        }
        let client = try fixture.client()
        try await client.send(WebSocketClient.request())
        #expect(try await events.next() == "connect")
        fixture.server.shutdown()
        #expect(try await events.next() == "disconnect 1001 ")
        #expect(try await events.next() == "ClientDisconnected")
        #expect(try await client.response().status == 503)
        client.finish()
        try await fixture.run.value
    }

    // MARK: The log

    @Test func `the access log has a line for the opening and one for the end`() async throws {
        try await withServer({ $0.accessLog = true }, application: webSocketEcho) { fixture in
            let client = try await fixture.webSocket("/chat\"")
            try await client.send("hello")
            _ = try await client.frame()
            try await client.close(4000)
            _ = try await client.raw.rest()
            let opening = try #require(fixture.log.lines.first { $0.contains("\"GET /chat\\x22 HTTP/1.1\" 101 0 ") })
            let end = try #require(
                fixture.log.lines.first { $0.contains("\"WEBSOCKET /chat\\x22 HTTP/1.1\" 4000 11 ") }
            )
            #expect(opening.hasSuffix("ms") && end.hasSuffix("ms"))
        }
    }
}

extension RawClient {
    /// Reads to the server's end, however it comes; whether anything came before.
    func endsWithFrames() async throws -> Bool {
        do { return try await !rest().isEmpty } catch { return false }
    }
}
