import Apus
import ApusGateway
import Testing

@Suite("The order of a WebSocket's events", .timeLimit(.minutes(5)))
struct WebSocketOrderTests {
    /// What an error is, in a word.
    private static func word(_ send: Send, _ event: SendEvent) async -> String {
        do {
            try await send(event)
            return "sent"
        } catch is ClientDisconnected {
            return "ClientDisconnected"
        } catch is ContractViolation {
            return "ContractViolation"
        } catch {
            return "\(error)"
        }
    }

    @Test func `before the acceptance there are no messages`() async throws {
        let outcomes = Mailbox<String>()
        try await withServer(application: { _, receive, send in
            outcomes.put(await Self.word(send, .webSocketSend("too early")))
            outcomes.put(await Self.word(send, .responseBody("no start")))
            outcomes.put(await Self.word(send, .startupComplete))
            outcomes.put(await Self.word(send, .webSocketAccept(subprotocol: "not offered")))
            outcomes.put(await Self.word(send, .webSocketAccept(headers: ["x": "new\nline"])))
            outcomes.put(await Self.word(send, .webSocketAccept(headers: ["not a name": "1"])))
            outcomes.put(await Self.word(send, .webSocketAccept()))
        }) { fixture in
            _ = try await fixture.webSocket()
            for _ in 0..<6 { #expect(try await outcomes.next() == "ContractViolation") }
            #expect(try await outcomes.next() == "sent")
        }
    }

    @Test func `after the acceptance there is neither another nor a response`() async throws {
        let outcomes = Mailbox<String>()
        try await withServer(application: { _, receive, send in
            try await send(.webSocketAccept())
            outcomes.put(await Self.word(send, .webSocketAccept()))
            outcomes.put(await Self.word(send, .responseStart(status: 403)))
            outcomes.put(await Self.word(send, .responseBody("body")))
            outcomes.put(await Self.word(send, .pathSend(path: "/etc/hostname")))
            outcomes.put(await Self.word(send, .earlyHint(links: ["</a>"])))
            outcomes.put(await Self.word(send, .webSocketClose(code: 1005)))
            outcomes.put(await Self.word(send, .webSocketClose(code: 999)))
            outcomes.put(await Self.word(send, .webSocketClose(reason: String(repeating: "ä", count: 62))))
            let longest = String(repeating: "ä", count: 61) + "a"
            outcomes.put(await Self.word(send, .webSocketClose(code: 4999, reason: longest)))
        }) { fixture in
            let client = try await fixture.webSocket()
            for _ in 0..<8 { #expect(try await outcomes.next() == "ContractViolation") }
            #expect(try await outcomes.next() == "sent")
            let close = try await client.frame()
            #expect(close.code == 4999 && close.reason.utf8.count == 123)
        }
    }

    @Test("After the close a message finds nobody", arguments: ["ours", "theirs", "loss"])
    func afterTheClose(_ whose: String) async throws {
        let outcomes = Mailbox<String>()
        let accepted = Gate()
        try await withServer(
            { $0.disconnectGrace = 1000 },
            application: { _, receive, send in
                _ = try await receive()
                try await send(.webSocketAccept())
                accepted.open()
                if whose == "ours" { try await send(.webSocketClose(code: 1000)) }
                if whose != "ours" { outcomes.put(name(try await receive())) }
                outcomes.put(await Self.word(send, .webSocketSend("too late")))
                outcomes.put(await Self.word(send, .webSocketClose()))
                if whose == "ours" { outcomes.put(name(try await receive())) }
            }
        ) { fixture in
            let client = try await fixture.webSocket()
            await accepted.wait()
            switch whose {
            case "ours":
                #expect(try await client.frame().code == 1000)
                #expect(try await outcomes.next() == "ClientDisconnected")
                #expect(try await outcomes.next() == "ClientDisconnected")
                // What still comes is thrown away, until the answer.
                try await client.send("unread")
                try await client.close(1000, "bye")
                #expect(try await outcomes.next() == "disconnect 1000 bye")
            case "theirs":
                try await client.close(1001)
                #expect(try await outcomes.next() == "disconnect 1001 ")
                #expect(try await outcomes.next() == "ClientDisconnected")
            default:
                client.raw.breakOff()
                #expect(try await outcomes.next() == "disconnect 1006 ")
                #expect(try await outcomes.next() == "ClientDisconnected")
            }
        }
    }

    @Test func `a second receive at a time is refused`() async throws {
        let outcomes = Mailbox<String>()
        try await withServer(application: { _, receive, send in
            _ = try await receive()
            try await send(.webSocketAccept())
            async let first = receive()
            try await Task.sleep(for: .milliseconds(10))
            do { _ = try await receive() } catch { outcomes.put("\(type(of: error))") }
            outcomes.put(name(try await first))
        }) { fixture in
            let client = try await fixture.webSocket()
            #expect(try await outcomes.next() == "ContractViolation")
            try await client.send("first")
            #expect(try await outcomes.next() == "text first last")
        }
    }

    @Test func `a cancelled receive leaves the message to the next one`() async throws {
        let outcomes = Mailbox<String>()
        try await withServer(application: { _, receive, send in
            _ = try await receive()
            try await send(.webSocketAccept())
            let waiting = Task { try await receive() }
            try await Task.sleep(for: .milliseconds(10))
            waiting.cancel()
            if case .failure(let error) = await waiting.result { outcomes.put("\(type(of: error))") }
            outcomes.put(name(try await receive()))
        }) { fixture in
            let client = try await fixture.webSocket()
            #expect(try await outcomes.next() == "CancellationError")
            try await client.send("kept")
            #expect(try await outcomes.next() == "text kept last")
        }
    }

    // MARK: Denials

    @Test func `after a denial has begun there is no acceptance`() async throws {
        let outcomes = Mailbox<String>()
        try await withServer(application: { _, receive, send in
            _ = try await receive()
            outcomes.put(await Self.word(send, .responseStart(status: 204)))
            outcomes.put(await Self.word(send, .responseStart(status: 401, headers: ["x": "1"])))
            outcomes.put(await Self.word(send, .webSocketAccept()))
            outcomes.put(await Self.word(send, .webSocketSend("no")))
            outcomes.put(await Self.word(send, .responseBody("who are", more: true)))
            outcomes.put(await Self.word(send, .webSocketClose()))
            outcomes.put(await Self.word(send, .responseBody(" you?")))
            outcomes.put(name(try await receive()))
            outcomes.put(await Self.word(send, .responseBody("ignored")))
        }) { fixture in
            let response = try await fixture.answerToOpening()
            #expect(response.status == 401)
            #expect(response["x"] == "1")
            #expect(response.body == "who are you?")
            let wanted = [
                "ContractViolation", "sent", "ContractViolation", "ContractViolation", "sent", "ContractViolation",
                "sent", "disconnect", "sent",
            ]
            for word in wanted { #expect(try await outcomes.next() == word) }
        }
    }

    @Test func `an early hint may come before either answer`() async throws {
        try await withServer(application: { scope, receive, send in
            guard case .webSocket(let socket) = scope else { return }
            _ = try await receive()
            try await send(.earlyHint(links: ["</a>"]))
            if socket.path == "/yes" { return try await send(.webSocketAccept()) }
            try await send(.responseStart(status: 404))
            try await send(.responseBody("none"))
        }) { fixture in
            for (path, status) in [("/yes", 101), ("/no", 404)] {
                let client = try fixture.client()
                try await client.send(WebSocketClient.request(path))
                #expect(try await client.response().status == 103)
                #expect(try await client.response().status == status)
            }
        }
    }
}
