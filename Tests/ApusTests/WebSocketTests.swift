import Apus
import ApusGateway
import Foundation
import Testing

/// Accepts, and sends every message back.
let webSocketEcho: TestApplication = { scope, receive, send in
    guard case .webSocket = scope else { return try await pong(send) }
    while true {
        switch try await receive() {
        case .webSocketConnect: try await send(.webSocketAccept())
        case .webSocketReceive(let message, let more): try await send(.webSocketSend(message, more: more))
        default: return
        }
    }
}

@Suite("A WebSocket", .timeLimit(.minutes(5)))
struct WebSocketTests {
    @Test func `text and binary messages are sent back`() async throws {
        try await withServer(application: webSocketEcho) { fixture in
            let client = try await fixture.webSocket()
            try await client.send("Grüße")
            #expect(try await client.frame() == .init(opcode: WebSocketClient.text, payload: Array("Grüße".utf8)))
            for count in [0, 125, 126, 65_535, 65_536, 3 << 20] {
                let payload = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31) }
                try await client.send(WebSocketClient.binary, payload)
                let frame = try await client.frame()
                #expect(frame.opcode == WebSocketClient.binary && frame.payload == payload)
            }
        }
    }

    @Test func `the answer is the one of the handshake, with the application's own fields`() async throws {
        try await withServer(application: { _, receive, send in
            _ = try await receive()
            try await send(
                .webSocketAccept(
                    subprotocol: "two",
                    headers: [
                        "x-mine": "1", "sec-websocket-protocol": "forged", "connection": "close",
                        "transfer-encoding": "chunked", "content-length": "7", "server": "mine",
                    ]
                )
            )
            _ = try await receive()
        }) { fixture in
            let response = try await fixture.answerToOpening(headers: "sec-websocket-protocol: one, two\r\n")
            #expect(response.status == 101)
            #expect(response["sec-websocket-accept"] == WebSocketClient.accept)
            #expect(response[all: "sec-websocket-protocol"] == ["two"])
            #expect(response[all: "connection"].map { $0.lowercased() } == ["upgrade"])
            #expect(response["upgrade"] == "websocket")
            #expect(response["x-mine"] == "1")
            #expect(response[all: "server"] == ["mine"])
            #expect(response["date"] != nil)
            #expect(response["content-length"] == nil && response["transfer-encoding"] == nil)
        }
    }

    @Test func `the scope tells of the request`() async throws {
        let told = Mailbox<String>()
        try await withServer(application: { scope, _, _ in
            guard case .webSocket(let socket) = scope else { return }
            told.put("\(socket.scheme) \(socket.path) \(socket.queryString) \(socket.httpVersion)")
            told.put(socket.subprotocols.joined(separator: " "))
            told.put(socket.headers["x-token"] ?? "")
        }) { fixture in
            _ = try await fixture.answerToOpening(
                "/ch%61t?room=1",
                headers: "sec-websocket-protocol: one\r\nsec-websocket-protocol: two\r\nx-token: 7\r\n"
            )
            #expect(try await told.next() == "ws /chat room=1 1.1")
            #expect(try await told.next() == "one two")
            #expect(try await told.next() == "7")
        }
    }

    @Test func `the opening comes first, then messages, then the disconnect for ever`() async throws {
        let events = Mailbox<String>()
        try await withServer(application: { _, receive, send in
            events.put(name(try await receive()))
            try await send(.webSocketAccept())
            for _ in 0..<5 { events.put(name(try await receive())) }
        }) { fixture in
            let client = try await fixture.webSocket()
            try await client.send("one")
            try await client.send(WebSocketClient.binary, [1, 2])
            try await client.close(4000, "enough")
            #expect(try await events.next() == "connect")
            #expect(try await events.next() == "text one last")
            #expect(try await events.next() == "binary 2 last")
            for _ in 0..<3 { #expect(try await events.next() == "disconnect 4000 enough") }
            let close = try await client.closeFrame()
            #expect(close.code == 4000)
            #expect(try await client.raw.rest().isEmpty)
        }
    }

    @Test func `bytes right behind the request are the first message`() async throws {
        try await withServer(application: { scope, receive, send in
            // Not at once: the bytes must wait for the decision.
            try await Task.sleep(for: .milliseconds(20))
            try await webSocketEcho(scope, receive, send)
        }) { fixture in
            let client = WebSocketClient(try fixture.client())
            let early = WebSocketClient.bytes(WebSocketClient.text, Array("early".utf8))
            try await client.raw.send(Array(WebSocketClient.request().utf8) + early)
            #expect(try await client.raw.response().status == 101)
            #expect(try await client.frame().text == "early")
            try await client.send("late")
            #expect(try await client.frame().text == "late")
        }
    }

    @Test func `a message in fragments is one event, unless the application asks for pieces`() async throws {
        let events = Mailbox<String>()
        try await withServer(application: { scope, receive, send in
            guard case .webSocket(let socket) = scope else { return }
            _ = try await receive()
            try await send(.webSocketAccept(delivery: socket.path == "/pieces" ? .fragments : .messages))
            while true {
                let event = try await receive()
                events.put(name(event))
                if case .webSocketDisconnect = event { return }
            }
        }) { fixture in
            for path in ["/", "/pieces"] {
                let client = try await fixture.webSocket(path)
                try await client.send(WebSocketClient.text, Array("one ".utf8), isFinal: false)
                if path == "/pieces" { #expect(try await events.next() == "text one  more") }
                try await client.send(WebSocketClient.ping, [1])
                #expect(try await client.frame() == .init(opcode: WebSocketClient.pong, payload: [1]))
                try await client.send(WebSocketClient.continuation, Array("two".utf8))
                #expect(try await events.next() == (path == "/pieces" ? "text two last" : "text one two last"))
                try await client.close(1000)
                #expect(try await events.next() == "disconnect 1000 ")
            }
        }
    }

    @Test func `fragments of the application's become frames of one message`() async throws {
        try await withServer(application: { _, receive, send in
            _ = try await receive()
            try await send(.webSocketAccept())
            try await send(.webSocketSend("one ", more: true))
            await #expect(throws: ContractViolation.self) { try await send(.webSocketSend(.binary("x"), more: false)) }
            try await send(.webSocketSend("two"))
            try await send(.webSocketSend(.binary("three")))
        }) { fixture in
            let client = try await fixture.webSocket()
            let first = try await client.frame()
            #expect(first == .init(opcode: WebSocketClient.text, isFinal: false, payload: Array("one ".utf8)))
            #expect(try await client.frame() == .init(opcode: 0, payload: Array("two".utf8)))
            #expect(try await client.frame() == .init(opcode: WebSocketClient.binary, payload: Array("three".utf8)))
            #expect(try await client.frame().code == 1000)
        }
    }

    @Test func `messages of concurrent senders keep the order of their sends`() async throws {
        try await withServer(application: { _, receive, send in
            _ = try await receive()
            try await send(.webSocketAccept())
            // More than the high-water mark, so that most of them wait.
            await withTaskGroup { group in
                for number in 0..<8 {
                    group.addTask {
                        for step in 0..<20 {
                            let payload = [UInt8(number), UInt8(step)] + [UInt8](repeating: 0, count: 60_000)
                            try? await send(.webSocketSend(.binary(Bytes(payload))))
                        }
                    }
                }
            }
        }) { fixture in
            let client = try await fixture.webSocket(receiveBuffer: 16 * 1024)
            var steps = [UInt8](repeating: 0, count: 8)
            for _ in 0..<160 {
                let payload = try await client.frame().payload
                #expect(payload.count == 60_002 && payload[1] == steps[Int(payload[0])])
                steps[Int(payload[0])] += 1
            }
            #expect(try await client.frame().code == 1000)
        }
    }

    @Test func `an application on Swift's own pool is served alike`() async throws {
        try await withServer({ $0.executor = .global }, application: webSocketEcho) { fixture in
            let client = try await fixture.webSocket()
            for number in 0..<100 {
                try await client.send("\(number)")
                #expect(try await client.frame().text == "\(number)")
            }
            try await client.close(1000)
            #expect(try await client.frame().code == 1000)
        }
    }

    @Test func `over TLS it is the same`() async throws {
        let schemes = Mailbox<String>()
        try await withServer(
            { $0.tls = try? TestCertificate.shared() },
            application: { scope, receive, send in
                guard case .webSocket(let socket) = scope else { return }
                schemes.put("\(socket.scheme) \(socket.tls != nil)")
                _ = try await receive()
                try await send(.webSocketAccept())
                try await send(.webSocketClose(code: 4001, reason: "secret"))
            }
        ) { fixture in
            // What curl knows of WebSockets differs by its version: as a plain request it shows the bytes as they come.
            let result = try await fixture.curl(
                "--http1.1",
                "--include",
                "-H",
                "connection: Upgrade",
                "-H",
                "upgrade: websocket",
                "-H",
                "sec-websocket-version: 13",
                "-H",
                "sec-websocket-key: \(WebSocketClient.key)"
            )
            #expect(try await schemes.next() == "wss true")
            #expect(result.text.contains(WebSocketClient.accept))
            #expect(result.bytes.suffix(10) == Data([0x88, 8, 0x0F, 0xA1]) + Data("secret".utf8))
        }
    }

    @Test func `where WebSockets are off, the request is an ordinary one`() async throws {
        try await withServer({ $0.webSocket.isEnabled = false }, application: webSocketEcho) { fixture async throws in
            #expect(try await fixture.answerToOpening().body == "pong")
        }
    }
}
