import Apus
import ApusGateway
import Foundation
import Testing

/// Reads the request and gives it back, piece by piece.
let echo: TestApplication = { _, receive, send in
    var isStarted = false
    while true {
        switch try await receive() {
        case .requestBody(let bytes, let more):
            if !isStarted { try await send(.responseStart(status: 200)) }
            isStarted = true
            try await send(.responseBody(bytes, more: more))
            if !more { return }
        default:
            return
        }
    }
}

@Suite("What an application receives", .timeLimit(.minutes(5)))
struct ReceivingTests {
    @Test func `a request without a body is complete at once, then comes the disconnect`() async throws {
        let events = Mailbox<String>()
        try await withServer(application: { _, receive, send in
            events.put(name(try await receive()))
            async let next = receive()
            try await send(.responseStart(status: 200))
            try await send(.responseBody("whole"))
            events.put(name(try await next))
            events.put(name(try await receive()))
        }) { fixture async throws in
            #expect(try await fixture.get().body == "whole")
            #expect(try await events.next() == "body 0 last")
            #expect(try await events.next() == "disconnect")
            #expect(try await events.next() == "disconnect")
        }
    }

    @Test("A request without a body ends once", arguments: ["--http1.1", "--http2-prior-knowledge"])
    func onlyOneEnd(_ version: String) async throws {
        let events = Mailbox<String>()
        let gate = Gate()
        try await withServer(application: { scope, receive, send in
            guard case .http(let request) = scope, request.path == "/" else {
                try await send(.responseStart(status: 200))
                return try await send(.responseBody("pong"))
            }
            events.put(name(try await receive()))
            let listening = Task { name(try await receive()) }
            await gate.wait()
            try await send(.responseStart(status: 200))
            try await send(.responseBody("whole"))
            events.put(try await listening.value)
        }) { fixture in
            async let result = fixture.curl(version)
            #expect(try await events.next() == "body 0 last")
            _ = try await fixture.get("/ping")
            gate.open()
            #expect(try await events.next() == "disconnect")
            #expect(try await result.text == "whole")
        }
    }

    @Test func `a listener for the disconnect sees nothing else after the request`() async throws {
        let events = Mailbox<String>()
        try await withServer(application: { _, receive, _ in
            events.put(name(try await receive()))
            events.put(name(try await receive()))
        }) { fixture in
            let client = try fixture.client()
            try await client.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n")
            #expect(try await events.next() == "body 0 last")
            client.finish()
            #expect(try await events.next() == "disconnect")
        }
    }

    @Test func `the pieces of a body come in order, the last one says so`() async throws {
        let events = Mailbox<String>()
        try await withServer(application: { _, receive, send in
            for _ in 0..<3 { events.put(name(try await receive())) }
            try await send(.responseStart(status: 200))
            try await send(.responseBody(""))
        }) { fixture in
            let client = try fixture.client()
            try await client.send("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 5\r\n\r\n")
            try await client.send("ab")
            #expect(try await events.next() == "body 2 more")
            try await client.send("cde")
            #expect(try await events.next() == "body 3 more")
            #expect(try await events.next() == "body 0 last")
            #expect(try await client.response().status == 200)
        }
    }

    @Test func `request trailers end a request`() async throws {
        let response = try await withTrailers("X-Sum: 7\r\ncontent-length: 9\r\n")
        #expect(response.body == "body 2 more, trailers x-sum=7")
    }

    private func withTrailers(_ lines: String) async throws -> RawResponse {
        var response: RawResponse?
        try await withServer(application: { _, receive, send in
            var text = ""
            while true {
                let event = try await receive()
                if case .requestBody(let bytes, true) = event, bytes.isEmpty { continue }
                text += (text.isEmpty ? "" : ", ") + name(event)
                if case .requestTrailers = event { break }
                if case .requestBody(_, false) = event { break }
            }
            try await send(.responseStart(status: 200))
            try await send(.responseBody(Bytes(text)))
        }) { fixture in
            let client = try fixture.client()
            try await client.send("POST / HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n")
            try await client.send("2\r\nab\r\n0\r\n\(lines)\r\n")
            response = try await client.response()
        }
        return try #require(response)
    }

    @Test func `a second receive throws while the first waits`() async throws {
        let outcome = Mailbox<String>()
        try await withServer(application: { _, receive, send in
            _ = try await receive()
            async let first = receive()
            let second = Task { @MainActor in
                do {
                    while true {
                        _ = try await receive()
                        outcome.put("an event")
                    }
                } catch {
                    outcome.put(error is ContractViolation ? "ContractViolation" : "\(error)")
                }
            }
            await second.value
            try await send(.responseStart(status: 200))
            try await send(.responseBody("whole"))
            outcome.put(name(try await first))
        }) { fixture async throws in
            #expect(try await fixture.get().body == "whole")
            #expect(try await outcome.next() == "ContractViolation")
            #expect(try await outcome.next() == "disconnect")
        }
    }

    @Test func `a receive that is cancelled throws, and another can follow`() async throws {
        let response = try await answer { _, receive, send in
            _ = try await receive()
            let waiting = Task { try await receive() }
            waiting.cancel()
            await #expect(throws: CancellationError.self) { try await waiting.value }
            let again = Task { name(try await receive()) }
            try await send(.responseStart(status: 200))
            try await send(.responseBody("whole"))
            #expect(try await again.value == "disconnect")
        }
        #expect(response.body == "whole")
    }

    @Test func `after the response a body that still comes is not delivered`() async throws {
        let events = Mailbox<String>()
        try await withServer(application: { _, receive, send in
            try await send(.responseStart(status: 200))
            try await send(.responseBody("early"))
            events.put(name(try await receive()))
        }) { fixture in
            let client = try fixture.client()
            try await client.send("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 5\r\n\r\nab")
            #expect(try await client.response().body == "early")
            #expect(try await events.next() == "disconnect")
            try await client.send("cdeGET / HTTP/1.1\r\nhost: test\r\n\r\n")
            #expect(try await client.response().body == "early")
        }
    }

    // MARK: 100-continue

    @Test func `a 100 is sent when the application wants the body`() async throws {
        try await withServer(application: echo) { fixture in
            let client = try fixture.client()
            try await client.send(
                "POST / HTTP/1.1\r\nhost: test\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n"
            )
            #expect(try await client.response().status == 100)
            try await client.send("body")
            #expect(try await client.response().body == "body")
        }
    }

    @Test func `no 100 is sent where the application does not want the body`() async throws {
        try await withServer(application: { _, _, send in
            try await send(.responseStart(status: 413))
            try await send(.responseBody("no"))
        }) { fixture in
            let client = try fixture.client()
            try await client.send(
                "POST / HTTP/1.1\r\nhost: test\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n"
            )
            let response = try await client.response()
            #expect(response.status == 413)
            // Whether the body will come is not known: the connection cannot be used again.
            #expect(response["connection"] == "close")
        }
    }

    // MARK: Echo

    @Test("Several megabytes are echoed", arguments: ["--http1.1", "--http2-prior-knowledge"])
    func plainEcho(_ version: String) async throws {
        try await withServer(application: echo) { fixture in
            try await expectEcho(fixture, version)
        }
    }

    @Test("Several megabytes are echoed over TLS", arguments: ["--http1.1", "--http2"])
    func secureEcho(_ version: String) async throws {
        try await withServer({ $0.tls = try? TestCertificate.shared() }, application: echo) { fixture in
            try await expectEcho(fixture, version)
        }
    }

    @Test func `several megabytes are echoed by an application in Swift's pool`() async throws {
        try await withServer({ $0.executor = .global }, application: echo) { fixture in
            try await expectEcho(fixture, "--http1.1")
        }
    }

    @Test func `several megabytes are kept until the request is complete`() async throws {
        let application: TestApplication = { _, receive, send in
            let body = try await receive.body(upTo: 16 << 20)
            try await send(.responseStart(status: 200))
            try await send(.responseBody(body))
        }
        try await withServer(application: application) { fixture in
            try await expectEcho(fixture, "--http1.1")
        }
        try await withServer({ $0.tls = try? TestCertificate.shared() }, application: application) { fixture in
            try await expectEcho(fixture, "--http1.1")
            try await expectEcho(fixture, "--http2")
        }
    }

    private func expectEcho(_ fixture: ServerFixture, _ version: String) async throws {
        let tree = try FileTree()
        let content = (0..<300_000).map { "line \($0)\n" }.joined()
        try tree.add("body.txt", content)
        let upload = "@\(tree.root)/body.txt"
        let result = try await fixture.curl(version, "-H", "expect:", "--data-binary", upload)
        #expect(result.exitCode == 0)
        #expect(result.bytes == Data(content.utf8))
    }
}

/// A word for an event.
func name(_ event: ReceiveEvent) -> String {
    switch event {
    case .requestBody(let bytes, let more): "body \(bytes.count) \(more ? "more" : "last")"
    case .requestTrailers(let fields): "trailers " + fields.map { "\($0.name)=\($0.value)" }.joined(separator: ",")
    case .disconnect: "disconnect"
    case .webSocketConnect: "connect"
    case .webSocketReceive(.text(let text), let more): "text \(text) \(more ? "more" : "last")"
    case .webSocketReceive(.binary(let bytes), let more): "binary \(bytes.count) \(more ? "more" : "last")"
    case .webSocketDisconnect(let code, let reason): "disconnect \(code) \(reason)"
    case .startup: "startup"
    case .shutdown: "shutdown"
    }
}
