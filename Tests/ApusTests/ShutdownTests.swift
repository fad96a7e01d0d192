import Apus
import ApusGateway
import Foundation
import Logging
import ServiceLifecycle
import Synchronization
import Testing

@Suite("The end of a server", .timeLimit(.minutes(5)))
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
        // The port is closed once the drain has begun.
        try await expectEventually { (try? fixture.client()) == nil }
        slow.gate.open()
        let response = try await client.response()
        #expect(response.body == "pong")
        #expect(response["connection"] == "close")
        client.finish()
        // The idle connection has waited for its next request, which is its last.
        try await idle.send("GET / HTTP/1.1\r\nhost: test\r\n\r\nGET /slow HTTP/1.1\r\nhost: test\r\n\r\n")
        let last = try await idle.response()
        #expect(last.body == "pong")
        #expect(last["connection"] == "close")
        #expect(try await idle.rest().isEmpty)
        idle.finish()
        try await fixture.run.value
        await #expect(throws: ServerEnded.self) { _ = try await fixture.server.listeners() }
    }

    @Test func `a slow reader gets the end of its download after the server has said everything`() async throws {
        let body = filler(6 << 20)
        let hasEnded = Gate()
        let fixture = try await startServer { scope, _, send in
            guard case .http = scope else { return }
            try await send(.responseStart(status: 200))
            try await send(.responseBody(body))
            hasEnded.open()
        }
        // HTTP/2, because its client sends window updates as it reads: a socket that is closed answers them with a reset.
        async let download = fixture.curl("--http2-prior-knowledge", "--limit-rate", "2M")
        await hasEnded.wait()
        fixture.server.shutdown()
        let result = try await download
        #expect(result.exitCode == 0)
        #expect(result.bytes.count == body.count)
        try await fixture.run.value
    }

    @Test func `clients that the kernel has let in before the shutdown are served`() async throws {
        let entered = Gate()
        let isReleased = Mutex(false)
        let fixture = try await startServer { scope, _, send in
            guard case .http(let request) = scope else { return }
            if request.path == "/block" {
                entered.open()
                // Holds the loop, so that nobody is accepted meanwhile.
                while !isReleased.withLock({ $0 }) { usleep(1000) }
            }
            try await pong(send)
        }
        let first = try fixture.client()
        try await first.send("GET /block HTTP/1.1\r\nhost: test\r\n\r\n")
        await entered.wait()
        var clients: [RawClient] = []
        for _ in 0..<300 {
            let client = try fixture.client()
            #expect(client.sendWithoutWaiting(Array("GET / HTTP/1.1\r\nhost: test\r\n\r\n".utf8)) > 0)
            clients.append(client)
        }
        fixture.server.shutdown()
        isReleased.withLock { $0 = true }
        for client in clients + [first] {
            #expect(try await client.response().body == "pong")
            client.finish()
        }
        try await fixture.run.value
    }

    @Test("Whatever clients do, every application ends and the server drains", arguments: 1...4 as ClosedRange<UInt64>)
    func storm(_ seed: UInt64) async throws {
        let running = Counter()
        let fixture = try await startServer({ $0.disconnectGrace = seed % 2 == 0 ? 0 : 0.01 }) { scope, receive, send in
            guard case .http(let request) = scope else { return }
            running.add(1)
            defer { running.add(-1) }
            switch request.path {
            case "/large":
                try await send(.responseStart(status: 200))
                try await send(.responseBody(filler(3 << 20)))
            case "/sleep": try await Task.sleep(for: .seconds(1000))
            case "/main": try await Task { @MainActor in try await echo(scope, receive, send) }.value
            default: try await echo(scope, receive, send)
            }
        }
        await withTaskGroup { group in
            for number in 0..<60 as Range<UInt64> {
                group.addTask {
                    var random = SplitMix(state: seed << 32 | number)
                    guard let client = try? fixture.client(receiveBuffer: 16 * 1024) else { return }
                    await Self.misbehave(client, &random)
                }
            }
        }
        #expect(try await fixture.get("/", headers: "content-length: 0\r\n").status == 200)
        try await expectEventually { running.value == 0 }
        fixture.server.shutdown()
        try await fixture.run.value
    }

    /// Sends some requests, perhaps not to the end, reads something or nothing, and leaves in one way or another.
    private static func misbehave(_ client: RawClient, _ random: inout SplitMix) async {
        let paths = ["/", "/large", "/sleep", "/main"]
        var isWhole = true
        for _ in 0..<Int.random(in: 1...4, using: &random) {
            let path = paths[Int.random(in: 0..<paths.count, using: &random)]
            let length = Int.random(in: 0...100_000, using: &random)
            let body = [UInt8](repeating: 7, count: length)
            let request = Array("POST \(path) HTTP/1.1\r\nhost: test\r\ncontent-length: \(length)\r\n\r\n".utf8) + body
            let sent = Bool.random(using: &random) ? request.count : Int.random(in: 1...request.count, using: &random)
            isWhole =
                client.sendWithoutWaiting(Array(request.prefix(sent))) == request.count && isWhole && path != "/sleep"
            if isWhole, Bool.random(using: &random) { _ = try? await client.take(12) }
        }
        switch Int.random(in: 0..<3, using: &random) {
        case 0: client.breakOff()
        case 1: client.finish()
        default: break
        }
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
        client.finish()
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
        for _ in 0..<100 {
            try await withServer({ $0.tls = try? TestCertificate.shared() }, application: Slow().application) { _ in }
            fewest = min(fewest, try descriptors())
        }
        try await expectEventually { try descriptors() < fewest + 50 }
    }
}
