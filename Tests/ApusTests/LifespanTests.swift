import Apus
import ApusGateway
import Foundation
import Synchronization
import Testing

@Suite("The lifespan of an application", .timeLimit(.minutes(5)))
struct LifespanTests {
    @Test func `requests see what startup has prepared, and shutdown comes after the last of them`() async throws {
        let events = Mutex<[String]>([])
        let gate = Gate()
        let entered = Gate()
        let fixture = try await startServer(lifespan: true) { scope, receive, send in
            switch scope {
            case .webSocket: return
            case .lifespan(let lifespan):
                guard case .startup = try await receive() else { return }
                lifespan.state["greeting"] = "good morning"
                try await send(.startupComplete)
                lifespan.state["greeting"] = "too late"
                guard case .shutdown = try await receive() else { return }
                events.withLock { $0.append("shutdown") }
                try await send(.shutdownComplete)
            case .http(let request):
                let greeting: String? = request.state["greeting"]
                entered.open()
                if request.path == "/slow" { await gate.wait() }
                try await send(.responseStart(status: 200))
                try await send(.responseBody(Bytes(greeting ?? "nothing")))
                events.withLock { $0.append("served") }
            }
        }
        #expect(try await fixture.get().body == "good morning")
        let client = try fixture.client()
        try await client.send("GET /slow HTTP/1.1\r\nhost: test\r\n\r\n")
        await entered.wait()
        // The request is under way once another has been answered behind it.
        _ = try await fixture.get()
        fixture.server.shutdown()
        gate.open()
        #expect(try await client.response().body == "good morning")
        try await fixture.run.value
        #expect(events.withLock { $0 } == ["served", "served", "served", "shutdown"])
    }

    @Test("A startup that fails stops the start", arguments: [true, false])
    func startupFails(_ throwing: Bool) async throws {
        let server = Server(application: { scope, receive, send in
            guard case .lifespan = scope else { return }
            _ = try await receive()
            if throwing { throw ContractViolation("no database") }
            try await send(.startupFailed(message: "no database"))
        })
        let error = await #expect(throws: StartupFailed.self) { try await server.run() }
        #expect(error?.message.contains("no database") == true)
        await #expect(throws: StartupFailed.self) { _ = try await server.listeners() }
    }

    @Test func `an application that returns at once on the lifespan is served`() async throws {
        try await withServer(
            lifespan: true,
            application: { scope, _, send in
                guard case .http = scope else { return }
                try await pong(send)
            }
        ) { fixture async throws in
            #expect(try await fixture.get().body == "pong")
        }
    }

    @Test func `an application whose lifespan ends early is served to the end`() async throws {
        let fixture = try await startServer(lifespan: true) { scope, receive, send in
            guard case .lifespan = scope else { return try await pong(send) }
            _ = try await receive()
            try await send(.startupComplete)
        }
        #expect(try await fixture.get().body == "pong")
        fixture.server.shutdown()
        try await fixture.run.value
    }

    @Test("A shutdown that fails is logged, and the server ends", arguments: [true, false])
    func shutdownFails(_ throwing: Bool) async throws {
        let fixture = try await startServer(lifespan: true) { _, receive, send in
            _ = try await receive()
            try await send(.startupComplete)
            _ = try await receive()
            if throwing { throw ContractViolation("the cache is dirty") }
            try await send(.shutdownFailed(message: "the cache is dirty"))
        }
        fixture.server.shutdown()
        try await fixture.run.value
        #expect(fixture.log.contains("the cache is dirty"))
    }

    @Test func `events out of order on the lifespan throw`() async throws {
        let outcomes = Mailbox<Bool>()
        let fixture = try await startServer(lifespan: true) { _, receive, send in
            for event: SendEvent in [.shutdownComplete, .responseStart(status: 200), .responseBody("")] {
                outcomes.put(await violates { try await send(event) })
            }
            _ = try await receive()
            try await send(.startupComplete)
            outcomes.put(await violates { try await send(.startupComplete) })
            _ = try await receive()
            try await send(.shutdownComplete)
            outcomes.put(await violates { try await send(.shutdownComplete) })
            outcomes.put(await violates { _ = try await receive() })
        }
        fixture.server.shutdown()
        try await fixture.run.value
        for _ in 0..<6 { #expect(try await outcomes.next()) }
    }

    @Test func `a second receive of the lifespan throws while the first waits`() async throws {
        let outcome = Mailbox<Bool>()
        let fixture = try await startServer(lifespan: true) { _, receive, send in
            _ = try await receive()
            async let first = receive()
            async let second = receive()
            try await send(.startupComplete)
            var failures = 0
            do { _ = try await first } catch { failures += 1 }
            do { _ = try await second } catch { failures += 1 }
            outcome.put(failures == 1)
            try await send(.shutdownComplete)
        }
        fixture.server.shutdown()
        try await fixture.run.value
        #expect(try await outcome.next())
    }

    @Test func `a startup that hangs ends with the task that runs the server`() async throws {
        let entered = Gate()
        let server = Server(application: { _, receive, _ in
            _ = try await receive()
            entered.open()
            await Gate().wait()
        })
        let run = Task { try await server.run() }
        await entered.wait()
        run.cancel()
        await #expect(throws: (any Error).self) { try await run.value }
    }

    @Test func `a startup that hangs ends with a second shutdown`() async throws {
        let entered = Gate()
        let server = Server(application: { _, receive, _ in
            _ = try await receive()
            entered.open()
            await Gate().wait()
        })
        let run = Task { try await server.run() }
        await entered.wait()
        server.shutdown()
        server.shutdown()
        await #expect(throws: (any Error).self) { try await run.value }
    }

    @Test("A shutdown that hangs ends after the graceful timeout, or with another shutdown", arguments: [0.05, 1000])
    func shutdownHangs(_ timeout: Double) async throws {
        let entered = Gate()
        let fixture = try await startServer({ $0.gracefulTimeout = timeout }, lifespan: true) { _, receive, send in
            _ = try await receive()
            try await send(.startupComplete)
            _ = try await receive()
            entered.open()
            await Gate().wait()
        }
        fixture.server.shutdown()
        await entered.wait()
        if timeout > 1 { fixture.server.shutdown() }
        try await fixture.run.value
        #expect(fixture.log.contains("shutdown"))
    }
}

private func violates(_ body: () async throws -> Void) async -> Bool {
    do {
        try await body()
        return false
    } catch {
        return error is ContractViolation
    }
}

extension Server {
    /// A server that is not started yet, with defaults on loopback.
    convenience init(
        _ configure: (inout Configuration) -> Void = { _ in },
        application: @escaping TestApplication
    ) {
        var configuration = Configuration()
        configuration.binds = [.address(host: "127.0.0.1", port: 0)]
        configure(&configuration)
        self.init(
            configuration: configuration,
            application: ClosureApplication(application),
            logger: LogRecorder().logger
        )
    }
}
