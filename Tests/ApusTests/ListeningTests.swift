import Apus
import ApusGateway
import ApusTestClients
import Foundation
import Testing

@Suite("Where a server listens", .timeLimit(.minutes(5)))
struct ListeningTests {
    private let application: TestApplication = { scope, _, send in
        guard case .http(let request) = scope else { return }
        try await send(.responseStart(status: 200))
        let server = request.server?.description ?? "nowhere"
        let tls = request.tls.map { String($0.version, radix: 16) } ?? "none"
        try await send(.responseBody(Bytes("\(request.scheme) \(request.httpVersion) \(server) \(tls)")))
    }

    @Test func `a port in use is a bind error`() async throws {
        try await withServer(application: application) { fixture in
            let port = fixture.port
            let second = Server({ $0.binds = [.address(host: "127.0.0.1", port: port)] }, application: application)
            let error = await #expect(throws: BindError.self) { try await second.run() }
            #expect(error?.description.contains("127.0.0.1:\(port)") == true)
            await #expect(throws: BindError.self) { _ = try await second.listeners() }
        }
    }

    @Test func `a port that was bound before another failed is free again`() async throws {
        try await withServer(application: application) { fixture in
            let taken = Bind.address(host: "127.0.0.1", port: fixture.port)
            let path = NSTemporaryDirectory() + "apus-\(UUID().uuidString.prefix(8)).sock"
            let server = Server({ $0.binds = [.unix(path: path), taken] }, application: application)
            await #expect(throws: BindError.self) { try await server.run() }
            #expect(!FileManager.default.fileExists(atPath: path))
        }
    }

    @Test func `a certificate that cannot be read is told before any port is opened`() async throws {
        try await withServer(application: application) { fixture in
            let port = fixture.port
            let server = Server(
                {
                    // In use: were it opened first, that would be the error.
                    $0.binds = [.address(host: "127.0.0.1", port: port)]
                    $0.tls = .init(certificateFile: "/nowhere/cert.pem", keyFile: "/nowhere/key.pem")
                },
                application: application
            )
            let error = await #expect(throws: ConfigurationError.self) { try await server.run() }
            #expect(error?.option == "--certfile")
            #expect(error?.message.contains("/nowhere/cert.pem") == true)
        }
    }

    @Test("A configuration that cannot be served is told", arguments: [0, 1, 2, 3])
    func contradictions(_ number: Int) async throws {
        let server = Server(
            {
                switch number {
                case 0: $0.binds = []
                case 1: $0.protocols = []
                case 2: $0.protocols = [.http3]
                default: $0.binds = [.address(host: "no.such.host.invalid", port: 0)]
                }
            },
            application: application
        )
        await #expect(throws: ConfigurationError.self) { try await server.run() }
    }

    @Test func `a unix socket is served and removed`() async throws {
        let path = NSTemporaryDirectory() + "apus-\(UUID().uuidString.prefix(8)).sock"
        try await withServer({ $0.binds = [.unix(path: path)] }, application: application) { fixture in
            #expect(fixture.listeners.map { $0.address.host } == [path])
            let client = try RawClient(unixPath: path)
            try await client.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n")
            #expect(try await client.response().body == "http 1.1 unix:\(path) none")
        }
        #expect(!FileManager.default.fileExists(atPath: path))
    }

    @Test("Every version is spoken over TLS", arguments: ["--http1.0", "--http1.1", "--http2"])
    func secure(_ version: String) async throws {
        try await withServer({ $0.tls = try? TestCertificate.shared() }, application: application) { fixture in
            let number = String(version.dropFirst(6))
            #expect(try await fixture.curl(version).text == "https \(number) 127.0.0.1:\(fixture.port) 304")
            let old = try await fixture.curl(version, "--tls-max", "1.2")
            #expect(old.text == "https \(number) 127.0.0.1:\(fixture.port) 303")
        }
    }

    @Test func `only the versions that are configured are spoken`() async throws {
        try await withServer({ $0.protocols = [.http1] }, application: application) { fixture async throws in
            #expect(try await fixture.curl("--http2-prior-knowledge").exitCode != 0)
            #expect(try await fixture.curl().exitCode == 0)
        }
        try await withServer({ $0.protocols = [.http2] }, application: application) { fixture async throws in
            #expect(try await fixture.curl("--http1.1").exitCode != 0)
            #expect(try await fixture.curl("--http2-prior-knowledge").exitCode == 0)
        }
    }

    @Test func `plain HTTP to a TLS port is told so`() async throws {
        try await withServer({ $0.tls = try? TestCertificate.shared() }, application: application) { fixture in
            let client = try fixture.client()
            try await client.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n")
            let response = try await client.response()
            #expect(response.status == 400)
            #expect(response.body.contains("HTTPS"))
        }
    }

    @Test func `accepting pauses at the most connections, and goes on when one ends`() async throws {
        try await withServer({ $0.limits.maxConnections = 2 }, application: application) { fixture in
            let request = "GET / HTTP/1.1\r\nhost: test\r\n\r\n"
            let first = try fixture.client()
            let second = try fixture.client()
            for client in [first, second] {
                try await client.send(request)
                #expect(try await client.response().status == 200)
            }
            let third = try fixture.client()
            try await third.send(request)
            for _ in 0..<10 {
                try await first.send(request)
                #expect(try await first.response().status == 200)
            }
            #expect(fixture.log.lines.filter { $0.contains("accepting pauses") }.count == 1)
            async let late = third.response()
            second.breakOff()
            #expect(try await late.status == 200)
        }
    }

    @Test func `a server that stays full says so now and then, not with each connection`() async throws {
        try await withServer({ $0.limits.maxConnections = 1 }, application: application) { fixture in
            for _ in 0..<20 {
                let client = try fixture.client()
                try await client.send("GET / HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n")
                #expect(try await client.response().status == 200)
            }
            // More than once only where this takes longer than the time between two lines.
            let count = fixture.log.lines.count { $0.contains("accepting pauses") }
            #expect((1...4).contains(count))
        }
    }

    @Test func `connections over QUIC and over TCP have one bound`() async throws {
        try await withServer(
            {
                $0.limits.maxConnections = 2
                $0.tls = try? TestCertificate.shared()
                $0.insecureBinds = [.address(host: "127.0.0.1", port: 0)]
            },
            application: application
        ) { fixture in
            let plain = try #require(fixture.listeners.last?.address.port)
            let first = try RawClient(port: plain)
            try await first.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n")
            #expect(try await first.response().status == 200)
            let second = try HTTP3TestClient(port: fixture.port)
            #expect(try await second.get().status == 200)
            await #expect(throws: ClientFailure.self) { try await HTTP3TestClient(port: fixture.port).get() }
            let third = try RawClient(port: plain)
            try await third.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n")
            async let late = third.response()
            second.close()
            #expect(try await late.status == 200)
            await #expect(throws: ClientFailure.self) { try await HTTP3TestClient(port: fixture.port).get() }
        }
    }

    @Test func `IPv6 and IPv4 are both served on the address of all`() async throws {
        try await withServer({ $0.binds = [.address(host: "::", port: 0)] }, application: application) { fixture in
            let client = try fixture.client()
            try await client.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n")
            #expect(try await client.response().status == 200)
        }
    }
}
