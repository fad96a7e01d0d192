import Apus
import ApusGateway
import Foundation
import Testing

@Suite("Several loops in one process", .timeLimit(.minutes(5)))
struct LoopsTests {
    /// Answers with the version, and with the name of the thread that it runs on.
    private let application: TestApplication = { scope, _, send in
        guard case .http(let request) = scope else { return }
        try await send(.responseStart(status: 200))
        try await send(.responseBody(Bytes("\(request.httpVersion) \(threadName())")))
    }

    @Test("Every version is served on every number of loops", arguments: [1, 2, 4])
    func versions(_ loops: Int) async throws {
        let configure: (inout Configuration) -> Void = {
            $0.loops = loops
            $0.tls = try? TestCertificate.shared()
            $0.insecureBinds = [.address(host: "127.0.0.1", port: 0)]
        }
        try await withServer(configure, application: application) { fixture in
            #expect(fixture.listeners.map(\.protocols) == [[.http1, .http2, .http3], [.http1, .http2]])
            let plain = try #require(fixture.listeners.last?.address.port)
            var threads: Set<String> = []
            for _ in 0..<8 {
                for version in ["--http1.0", "--http1.1", "--http2"] {
                    let parts = try await fixture.curl(version).text.split(separator: " ")
                    #expect(parts.first.map(String.init) == String(version.dropFirst(6)))
                    threads.insert(String(parts.last ?? ""))
                }
                let result = try await runCurl(["--http2-prior-knowledge", "http://127.0.0.1:\(plain)/"])
                #expect(result.text.hasPrefix("2 "))
                let client = try HTTP3TestClient(port: fixture.port)
                for _ in 0..<3 { #expect(try await client.get().body.hasPrefix("3 ")) }
            }
            #expect(loops == 1 ? threads.count == 1 : threads.count > 1)
        }
    }

    @Test func `the requests of a connection stay on one loop, whatever the client's port`() async throws {
        try await withServer(
            {
                $0.loops = 4
                $0.tls = try? TestCertificate.shared()
            },
            application: application
        ) { fixture in
            var threads: Set<String> = []
            for _ in 0..<12 {
                let client = try HTTP3TestClient(port: fixture.port)
                let first = try await client.get()
                threads.insert(first.body)
                for _ in 0..<10 {
                    try client.changePort()
                    #expect(try await client.get().body == first.body)
                }
            }
            #expect(threads.count > 1)
        }
    }

    @Test func `the application starts and stops once, and all loops see what it prepared`() async throws {
        let starts = Counter()
        let stops = Counter()
        let fixture = try await startServer({ $0.loops = 4 }, lifespan: true) { scope, receive, send in
            switch scope {
            case .lifespan(let lifespan):
                _ = try await receive()
                lifespan.state["number"] = 17
                starts.add()
                try await send(.startupComplete)
                _ = try await receive()
                stops.add()
                try await send(.shutdownComplete)
            case .http(let request):
                try await send(.responseStart(status: 200))
                let number = request.state["number", as: Int.self] ?? 0
                try await send(.responseBody(Bytes("\(number) \(threadName())")))
            default: break
            }
        }
        var threads: Set<String> = []
        for _ in 0..<100 where threads.count < 3 {
            let body = try await fixture.get().body
            #expect(body.hasPrefix("17 "))
            threads.insert(body)
        }
        #expect(threads.count > 1)
        fixture.server.shutdown()
        try await fixture.run.value
        #expect(starts.value == 1)
        #expect(stops.value == 1)
    }

    @Test func `a drain finishes what runs on any loop`() async throws {
        let gate = Gate()
        let entered = Counter()
        let fixture = try await startServer({ $0.loops = 4 }) { scope, _, send in
            guard case .http = scope else { return }
            entered.add()
            await gate.wait()
            try await send(.responseStart(status: 200))
            try await send(.responseBody("done"))
        }
        var clients: [RawClient] = []
        for _ in 0..<16 {
            let client = try fixture.client()
            try await client.send("GET / HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n")
            clients.append(client)
        }
        try await expectEventually { entered.value == 16 }
        fixture.server.shutdown()
        try await expectEventually { (try? fixture.client()) == nil }
        gate.open()
        for client in clients { #expect(try await client.response().body == "done") }
        try await fixture.run.value
    }

    @Test func `a unix socket is served by all loops, and removed`() async throws {
        let path = NSTemporaryDirectory() + "apus-\(UUID().uuidString.prefix(8)).sock"
        try await withServer(
            {
                $0.loops = 3
                $0.binds = [.unix(path: path)]
            },
            application: application
        ) { _ in
            for _ in 0..<20 {
                let client = try RawClient(unixPath: path)
                try await client.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n")
                #expect(try await client.response().status == 200)
            }
        }
        #expect(!FileManager.default.fileExists(atPath: path))
    }

    @Test("A port that another server of the same user has is refused", arguments: [1, 4], [1, 4])
    func taken(_ loops: Int, _ otherLoops: Int) async throws {
        let configure: (inout Configuration) -> Void = {
            $0.loops = loops
            $0.tls = try? TestCertificate.shared()
        }
        try await withServer(configure, application: application) { fixture in
            let port = fixture.port
            for protocols: Set<Configuration.HTTPProtocol> in [[.http1], [.http3]] {
                let second = Server(
                    {
                        configure(&$0)
                        $0.loops = otherLoops
                        $0.protocols = protocols
                        $0.binds = [.address(host: "127.0.0.1", port: port)]
                    },
                    application: application
                )
                await #expect(throws: BindError.self) { try await second.run() }
            }
        }
    }

    @Test("The number of loops has its bounds", arguments: [0, 1, Configuration.maxLoops, Configuration.maxLoops + 1])
    func bounds(_ loops: Int) async throws {
        let server = Server(
            {
                $0.loops = loops
                // A name that is looked up after the number is checked.
                $0.binds = [.unix(path: "/nowhere/at/all.sock")]
            },
            application: application
        )
        if (1...Configuration.maxLoops).contains(loops) {
            await #expect(throws: BindError.self) { try await server.run() }
        } else {
            let error = await #expect(throws: ConfigurationError.self) { try await server.run() }
            #expect(error?.message.contains("\(loops)") == true)
        }
    }
}

/// The name of the thread that calls: that of its loop.
func threadName() -> String {
    let name = try? String(contentsOfFile: "/proc/thread-self/comm", encoding: .utf8)
    return name?.trimmingCharacters(in: .newlines) ?? "?"
}
