import Apus
import ApusGateway
import ApusHTTP
import ApusTestClients
import Foundation
import Testing

/// Whom a draining server waits for, and for how long, on each version of HTTP.
@Suite("A server that drains", .timeLimit(.minutes(5)))
struct DrainTests {
    /// A connection on which one request has been answered.
    private func idle(_ fixture: ServerFixture) async throws -> RawClient {
        let client = try fixture.client()
        try await client.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n")
        #expect(try await client.response()["connection"] == nil)
        return client
    }

    private static let pongs: TestApplication = { scope, _, send in
        guard case .http = scope else { return }
        try await pong(send)
    }

    /// Begins a drain; returns when it has begun.
    private func drain(_ fixture: ServerFixture) async throws {
        fixture.server.shutdown()
        // The port is closed then.
        try await expectEventually { (try? fixture.client()) == nil }
    }

    // MARK: HTTP/1

    @Test func `an idle HTTP/1 connection is ended by the graceful timeout, in order and without a word`() async throws
    {
        let fixture = try await startServer({ $0.gracefulTimeout = 0.3 }, application: Self.pongs)
        let client = try await idle(fixture)
        fixture.server.shutdown()
        // A reset would throw.
        #expect(try await client.rest().isEmpty)
        try await fixture.run.value
        #expect(!fixture.log.contains("warning"))
    }

    @Test func `an idle HTTP/1 connection is ended by its keep-alive timeout`() async throws {
        let fixture = try await startServer(
            {
                $0.gracefulTimeout = 1000
                $0.limits.keepAliveTimeout = 0.3
            },
            application: Self.pongs
        )
        let client = try await idle(fixture)
        fixture.server.shutdown()
        #expect(try await client.rest().isEmpty)
        try await fixture.run.value
    }

    @Test func `an HTTP/1 connection that has not asked yet is answered once`() async throws {
        let fixture = try await startServer(
            {
                $0.gracefulTimeout = 1000
                // A machine with other work to do may take longer than the usual times.
                $0.limits.handshakeTimeout = 1000
                $0.limits.headTimeout = 1000
            },
            application: Self.pongs
        )
        // Accepted in the order of their coming: the second has been served when the first is there.
        let client = try fixture.client()
        let other = try await idle(fixture)
        try await drain(fixture)
        for waiting in [client, other] {
            try await waiting.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n")
            let response = try await waiting.response()
            #expect(response.body == "pong")
            #expect(response["connection"] == "close")
            #expect(try await waiting.rest().isEmpty)
            waiting.finish()
        }
        try await fixture.run.value
    }

    @Test func `a head that was sent before the drain is followed by one more response`() async throws {
        let entered = Gate()
        let gate = Gate()
        let fixture = try await startServer({ $0.gracefulTimeout = 1000 }) { scope, _, send in
            guard case .http(let request) = scope else { return }
            guard request.path == "/slow" else { return try await pong(send) }
            try await send(.responseStart(status: 200, headers: ["content-length": "4"]))
            try await send(.responseBody("sl", more: true))
            entered.open()
            await gate.wait()
            try await send(.responseBody("ow"))
        }
        let client = try fixture.client()
        try await client.send("GET /slow HTTP/1.1\r\nhost: test\r\n\r\n")
        await entered.wait()
        try await drain(fixture)
        gate.open()
        let slow = try await client.response()
        #expect(slow.body == "slow")
        #expect(slow["connection"] == nil)
        try await client.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n")
        #expect(try await client.response()["connection"] == "close")
        client.finish()
        try await fixture.run.value
    }

    // MARK: HTTP/2 and HTTP/3

    @Test func `an idle HTTP/2 connection does not hold a drain`() async throws {
        let fixture = try await startServer({ $0.gracefulTimeout = 1000 }, application: Self.pongs)
        let address = try #require(SocketAddress(literal: "127.0.0.1", port: UInt16(fixture.port)))
        let deadline = Instant.now + .seconds(20)
        let client = try HTTP2Connector(server: address, until: deadline)
        #expect(try client.get("/", until: deadline).status == 200)
        fixture.server.shutdown()
        // The client says nothing more, not even that it has read the GOAWAY.
        try await fixture.run.value
        withExtendedLifetime(client) {}
    }

    @Test func `an idle HTTP/3 connection does not hold a drain`() async throws {
        let fixture = try await startServer(
            {
                $0.gracefulTimeout = 1000
                Self.useHTTP3(&$0)
            },
            application: Self.pongs
        )
        let client = try HTTP3TestClient(port: fixture.port)
        #expect(try await client.get().status == 200)
        fixture.server.shutdown()
        try await fixture.run.value
        withExtendedLifetime(client) {}
    }

    private static func useHTTP3(_ configuration: inout Configuration) {
        configuration.tls = try? TestCertificate.shared()
        configuration.protocols = [.http3]
    }

    // MARK: Streaming responses

    /// Sends an event, then waits for the client to leave, and tells what becomes of it.
    private static func streaming(_ events: Mailbox<String>) -> TestApplication {
        { scope, receive, send in
            guard case .http = scope else { return }
            try await send(.responseStart(status: 200, headers: ["content-type": "text/event-stream"]))
            try await send(.responseBody("data: 1\n\n", more: true))
            events.put("streaming")
            while case .requestBody = try await receive() {}
            events.put("disconnect")
            do { try await Task.sleep(for: .seconds(1000)) } catch { events.put("cancelled") }
        }
    }

    @Test("An open event stream never holds a shutdown", arguments: ["--http1.1", "--http2-prior-knowledge"])
    func eventStream(_ version: String) async throws {
        let events = Mailbox<String>()
        let fixture = try await startServer({ $0.gracefulTimeout = 0.3 }, application: Self.streaming(events))
        async let result = fixture.curl(version)
        #expect(try await events.next() == "streaming")
        fixture.server.shutdown()
        #expect(try await events.next() == "disconnect")
        #expect(try await events.next() == "cancelled")
        // What was cut off must not look whole.
        #expect(try await result.exitCode != 0)
        try await fixture.run.value
        #expect(!fixture.log.contains("go on although"))
    }

    @Test func `an open event stream over HTTP/3 never holds a shutdown`() async throws {
        let events = Mailbox<String>()
        let fixture = try await startServer(
            {
                $0.gracefulTimeout = 0.3
                Self.useHTTP3(&$0)
            },
            application: Self.streaming(events)
        )
        let client = try HTTP3TestClient(port: fixture.port)
        let answer = Task { try await client.get() }
        #expect(try await events.next() == "streaming")
        fixture.server.shutdown()
        #expect(try await events.next() == "disconnect")
        #expect(try await events.next() == "cancelled")
        // What was cut off must not look whole.
        await #expect(throws: ClientFailure.self) { try await answer.value }
        try await fixture.run.value
    }

    // MARK: Applications

    @Test func `an application that ignores everything is left alone soon after the graceful timeout`() async throws {
        let events = Mailbox<String>()
        let gate = Gate()
        let fixture = try await startServer({ $0.gracefulTimeout = 0.1 }) { scope, _, _ in
            guard case .http = scope else { return }
            events.put("entered")
            await gate.wait()
        }
        let client = try fixture.client()
        try await client.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n")
        #expect(try await events.next() == "entered")
        fixture.server.shutdown()
        try await fixture.run.value
        #expect(fixture.log.contains("1 connections have requests after the graceful timeout"))
        #expect(fixture.log.contains("1 applications go on although they were cancelled"))
        gate.open()
    }

    @Test func `an application that learns of the end has its grace, and ends before the server does`() async throws {
        let events = Mailbox<String>()
        let fixture = try await startServer(
            {
                $0.gracefulTimeout = 0.1
                $0.disconnectGrace = 4
            },
            lifespan: true
        ) { scope, receive, send in
            guard case .http = scope else {
                _ = try await receive()
                try await send(.startupComplete)
                _ = try await receive()
                events.put("shutdown")
                return try await send(.shutdownComplete)
            }
            events.put("entered")
            while case .requestBody = try await receive() {}
            try? await Task.sleep(for: .milliseconds(100))
            events.put(Task.isCancelled ? "cancelled" : "tidied up")
        }
        let client = try fixture.client()
        try await client.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n")
        #expect(try await events.next() == "entered")
        fixture.server.shutdown()
        #expect(try await events.next() == "tidied up")
        #expect(try await events.next() == "shutdown")
        try await fixture.run.value
    }

    @Test func `an application that works on after its response is waited for`() async throws {
        let events = Mailbox<String>()
        let gate = Gate()
        let fixture = try await startServer({ $0.gracefulTimeout = 1000 }, lifespan: true) { scope, receive, send in
            guard case .http = scope else {
                _ = try await receive()
                try await send(.startupComplete)
                _ = try await receive()
                events.put("shutdown")
                return try await send(.shutdownComplete)
            }
            try await pong(send)
            await gate.wait()
            events.put("worked")
        }
        let client = try fixture.client()
        try await client.send("GET / HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n")
        #expect(try await client.response().body == "pong")
        #expect(try await client.rest().isEmpty)
        client.finish()
        fixture.server.shutdown()
        try await expectEventually { (try? fixture.client()) == nil }
        gate.open()
        #expect(try await events.next() == "worked")
        #expect(try await events.next() == "shutdown")
        try await fixture.run.value
    }
}
