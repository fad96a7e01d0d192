import Apus
import ApusGateway
import Foundation
import Testing

@Suite("Openings that become no WebSocket", .timeLimit(.minutes(5)))
struct WebSocketOpeningTests {
    private struct Failed: Error {}

    @Test func `a close in place of the acceptance is a 403`() async throws {
        let events = Mailbox<String>()
        try await withServer(application: { _, receive, send in
            _ = try await receive()
            try await send(.webSocketClose(code: 4000, reason: "no"))
            events.put(name(try await receive()))
        }) { fixture in
            let client = try fixture.client()
            try await client.send(WebSocketClient.request())
            #expect(try await client.response().status == 403)
            #expect(try await events.next() == "disconnect")
            // The connection goes on.
            try await client.send(WebSocketClient.request())
            #expect(try await client.response().status == 403)
        }
    }

    @Test("An application that does not decide is a 500", arguments: [true, false])
    func undecided(_ throwing: Bool) async throws {
        try await withServer(application: { _, receive, _ in
            _ = try await receive()
            if throwing { throw Failed() }
        }) { fixture in
            let response = try await fixture.answerToOpening()
            #expect(response.status == 500)
            #expect(response.body == "500 Internal Server Error\n")
            let complaint = throwing ? "the application threw: Failed()" : "returned without a response"
            #expect(fixture.log.contains("error: GET / HTTP/1.1: ") && fixture.log.contains(complaint))
        }
    }

    @Test func `a file may be the denial`() async throws {
        let path = NSTemporaryDirectory() + "apus-denial-\(UUID().uuidString)"
        try Data("denied, at length".utf8).write(to: URL(fileURLWithPath: path))
        defer { try? FileManager.default.removeItem(atPath: path) }
        try await withServer(application: { _, _, send in
            try await send(.responseStart(status: 410))
            try await send(.pathSend(path: path))
        }) { fixture in
            let response = try await fixture.answerToOpening()
            #expect(response.status == 410)
            #expect(response.body == "denied, at length")
        }
    }

    @Test func `a client that leaves before the decision is a disconnect with 1006`() async throws {
        let events = Mailbox<String>()
        let entered = Gate()
        try await withServer(
            { $0.disconnectGrace = 1000 },
            application: { _, receive, send in
                events.put(name(try await receive()))
                entered.open()
                events.put(name(try await receive()))
                do { try await send(.webSocketAccept()) } catch { events.put("\(type(of: error))") }
            }
        ) { fixture in
            let client = try fixture.client()
            try await client.send(WebSocketClient.request())
            await entered.wait()
            client.breakOff()
            #expect(try await events.next() == "connect")
            #expect(try await events.next() == "disconnect 1006 ")
            #expect(try await events.next() == "ClientDisconnected")
        }
    }

    // MARK: The server's own refusals

    @Test func `the server refuses what is no opening without asking the application`() async throws {
        let calls = Counter()
        try await withServer(
            { $0.webSocket.allowedOrigins = ["https://example.org"] },
            application: { scope, receive, send in
                calls.add()
                try await webSocketEcho(scope, receive, send)
            }
        ) { fixture in
            let origin = "origin: https://example.org\r\n"
            let client = try fixture.client()
            let good = WebSocketClient.request(headers: origin)
            try await client.send(good.replacingOccurrences(of: "version: 13", with: "version: 12"))
            let version = try await client.response()
            #expect(version.status == 426)
            #expect(version["sec-websocket-version"] == "13")
            #expect(fixture.log.contains("info: 127.0.0.1:") && fixture.log.contains("not version 13 of WebSocket"))
            try await client.send(good.replacingOccurrences(of: WebSocketClient.key, with: "short"))
            #expect(try await client.response().status == 400)
            #expect(fixture.log.contains("sec-websocket-key"))
            try await client.send(WebSocketClient.request(headers: "origin: https://example.com\r\n"))
            #expect(try await client.response().status == 403)
            #expect(fixture.log.contains("the origin is not one of those allowed"))
            #expect(calls.value == 0)
            try await client.send(good)
            #expect(try await client.response().status == 101)
            #expect(calls.value == 1)
        }
    }

    @Test func `one WebSocket more than may be open is a 503`() async throws {
        try await withServer({ $0.webSocket.maxConnections = 2 }, application: webSocketEcho) { fixture in
            let first = try await fixture.webSocket()
            let second = try await fixture.webSocket()
            #expect(try await fixture.answerToOpening().status == 503)
            #expect(fixture.log.contains("as many WebSockets are open as may be"))
            // A request is none.
            #expect(try await fixture.get().status == 200)
            // Neither is one that is over: by a close, or by a loss.
            try await first.close(1000)
            #expect(try await first.raw.rest().count == 4)
            let third = try await fixture.webSocket()
            #expect(try await fixture.answerToOpening().status == 503)
            second.raw.breakOff()
            third.raw.breakOff()
            try await eventuallyOpens(fixture)
        }
    }

    @Test func `an opening that is denied counts no longer`() async throws {
        try await withServer(
            { $0.webSocket.maxConnections = 1 },
            application: { scope, receive, send in
                guard case .webSocket(let socket) = scope else { return }
                if socket.path == "/close" { return try await send(.webSocketClose()) }
                if socket.path == "/throw" { throw Failed() }
                if socket.path == "/deny" {
                    try await send(.responseStart(status: 404))
                    return try await send(.responseBody("none"))
                }
                try await webSocketEcho(scope, receive, send)
            }
        ) { fixture in
            for (path, status) in [("/close", 403), ("/throw", 500), ("/deny", 404), ("/close", 403)] {
                #expect(try await fixture.answerToOpening(path).status == status)
            }
            _ = try await fixture.webSocket()
        }
    }

    private func eventuallyOpens(_ fixture: ServerFixture) async throws {
        for _ in 0..<1000 {
            if try await fixture.answerToOpening().status == 101 { return }
        }
        Issue.record("no WebSocket could be opened any more")
    }
}
