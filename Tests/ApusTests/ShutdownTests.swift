import Apus
import ApusGateway
import Foundation
import Logging
import ServiceLifecycle
import Testing

@Suite("The end of a server", .timeLimit(.minutes(1)))
struct ShutdownTests {
    /// Answers `/slow` when the gate opens, anything else at once.
    private struct Slow: Sendable {
        let entered = Gate()
        let gate = Gate()

        var application: TestApplication {
            { [self] scope, _, send in
                guard case .http(let request) = scope else { return }
                if request.path == "/slow" {
                    entered.open()
                    await gate.wait()
                }
                try await pong(send)
            }
        }
    }

    @Test func `a graceful shutdown finishes what runs and refuses what is new`() async throws {
        let slow = Slow()
        let fixture = try await startServer(application: slow.application)
        let client = try fixture.client()
        try await client.send("GET /slow HTTP/1.1\r\nhost: test\r\n\r\n")
        await slow.entered.wait()
        let idle = try fixture.client()
        try await idle.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n")
        #expect(try await idle.response().body == "pong")
        fixture.server.shutdown()
        // The idle connection ends at once, so that the drain has begun.
        #expect(try await idle.rest().isEmpty)
        #expect(throws: RawClient.Failure.self) { _ = try fixture.client() }
        slow.gate.open()
        let response = try await client.response()
        #expect(response.body == "pong")
        #expect(response["connection"] == "close")
        client.finish()
        try await fixture.run.value
        await #expect(throws: ServerEnded.self) { _ = try await fixture.server.listeners() }
    }

    @Test("A second shutdown ends at once", arguments: [true, false])
    func secondShutdown(_ byTimeout: Bool) async throws {
        let slow = Slow()
        let fixture = try await startServer(
            {
                $0.gracefulTimeout = byTimeout ? 0.05 : 1000
            },
            application: slow.application
        )
        let client = try fixture.client()
        try await client.send("GET /slow HTTP/1.1\r\nhost: test\r\n\r\n")
        await slow.entered.wait()
        fixture.server.shutdown()
        if !byTimeout { fixture.server.shutdown() }
        try await fixture.run.value
        await #expect(throws: RawClient.Failure.self) { try await client.response() }
        slow.gate.open()
    }

    @Test func `a shutdown before the start lets run return`() async throws {
        let server = Server(application: Slow().application)
        server.shutdown()
        try await server.run()
    }

    @Test func `cancelling the task that runs ends every connection`() async throws {
        let slow = Slow()
        let fixture = try await startServer({ $0.gracefulTimeout = 1000 }, application: slow.application)
        let client = try fixture.client()
        try await client.send("GET /slow HTTP/1.1\r\nhost: test\r\n\r\n")
        await slow.entered.wait()
        fixture.run.cancel()
        _ = await fixture.run.result
        await #expect(throws: RawClient.Failure.self) { try await client.response() }
        slow.gate.open()
    }

    @Test func `a service group shuts the server down`() async throws {
        let server = Server(application: Slow().application)
        let group = ServiceGroup(
            configuration: .init(services: [server], logger: LogRecorder().logger)
        )
        let run = Task { try await group.run() }
        let port = try #require(try await server.listeners().first?.address.port)
        let client = try RawClient(port: port)
        try await client.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n")
        #expect(try await client.response().body == "pong")
        await group.triggerGracefulShutdown()
        #expect(try await client.rest().isEmpty)
        try await run.value
    }

    @Test func `a server runs once, and a second attempt does not disturb the first`() async throws {
        let fixture = try await startServer(application: Slow().application)
        await #expect(throws: ContractViolation.self) { try await fixture.server.run() }
        #expect(try await fixture.get().body == "pong")
        #expect(try await fixture.server.listeners() == fixture.listeners)
        fixture.server.shutdown()
        try await fixture.run.value
    }

    @Test func `HTTP/2 requests that run are finished too`() async throws {
        let slow = Slow()
        let fixture = try await startServer(application: slow.application)
        async let result = fixture.curl("--http2-prior-knowledge", target: "/slow")
        await slow.entered.wait()
        fixture.server.shutdown()
        slow.gate.open()
        #expect(try await result.text == "pong")
        try await fixture.run.value
    }

    @Test func `no descriptor is left behind`() async throws {
        func descriptors() throws -> Int { try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count }
        // Other tests run beside this one: theirs come and go, what is leaked here would stay.
        var fewest = Int.max
        for _ in 0..<200 {
            try await withServer({ $0.tls = try? TestCertificate.shared() }, application: Slow().application) { _ in }
            fewest = min(fewest, try descriptors())
        }
        try await expectEventually { try descriptors() < fewest + 100 }
    }
}
