import ApusGateway
import ApusHTTP
import ApusTransport
import Foundation
import Testing

@testable import Apus

@Suite("Sockets from elsewhere", .timeLimit(.minutes(5)))
struct InheritedSocketsTests {
    private let application: TestApplication = { scope, _, send in
        guard case .http(let request) = scope else { return }
        try await send(.responseStart(status: 200))
        try await send(.responseBody(Bytes("\(request.scheme) \(request.httpVersion)")))
    }

    private static func anyPort() throws -> SocketAddress {
        try #require(SocketAddress(literal: "127.0.0.1", port: 0))
    }

    /// A descriptor that nobody else closes, as a parent process would have left it.
    private static func descriptor(_ socket: BoundSocket) -> Int32 { dup(socket.descriptor) }

    @Test("A TCP socket is served, over TLS where there is a certificate", arguments: [1, 3])
    func tcp(_ loops: Int) async throws {
        for isSecure in [true, false] {
            let descriptor = Self.descriptor(try .tcp(try Self.anyPort()))
            try await withServer(
                {
                    $0.loops = loops
                    $0.binds = [.descriptor(descriptor)]
                    if isSecure { $0.tls = try? TestCertificate.shared() }
                },
                application: application
            ) { fixture in
                #expect(fixture.listeners.map(\.protocols) == [[.http1, .http2]])
                for _ in 0..<10 {
                    let text = try await fixture.curl("--http1.1").text
                    #expect(text == (isSecure ? "https 1.1" : "http 1.1"))
                }
            }
        }
    }

    @Test("A UDP socket carries HTTP/3, read by one loop for all", arguments: [1, 3])
    func udp(_ loops: Int) async throws {
        let descriptor = Self.descriptor(try .udp(try Self.anyPort()))
        try await withServer(
            {
                $0.loops = loops
                $0.binds = [.descriptor(descriptor)]
                $0.tls = try? TestCertificate.shared()
            },
            application: application
        ) { fixture in
            #expect(fixture.listeners.map(\.protocols) == [[.http3]])
            for _ in 0..<6 {
                let client = try HTTP3TestClient(port: fixture.port)
                for _ in 0..<4 {
                    #expect(try await client.get().body == "https 3")
                    try client.changePort()
                }
            }
        }
    }

    @Test func `a unix socket is served, and its file stays`() async throws {
        let path = NSTemporaryDirectory() + "apus-\(UUID().uuidString.prefix(8)).sock"
        let owner = try BoundSocket.unix(.unix(path: path))
        let descriptor = Self.descriptor(owner)
        try await withServer({ $0.binds = [.descriptor(descriptor)] }, application: application) { fixture in
            #expect(fixture.listeners.map { $0.address.host } == [path])
            let client = try RawClient(unixPath: path)
            try await client.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n")
            #expect(try await client.response().body == "http 1.1")
        }
        #expect(FileManager.default.fileExists(atPath: path))
    }

    @Test func `an abstract unix socket is served`() async throws {
        let name = "@apus-\(UUID().uuidString)"
        try await withServer({ $0.binds = [.unix(path: name)] }, application: application) { fixture in
            #expect(fixture.listeners.map { $0.address.host } == [name])
            let result = try await runCurl(["--abstract-unix-socket", String(name.dropFirst()), "http://test/"])
            #expect(result.text == "http 1.1")
        }
    }

    @Test func `a unix socket has the mode that is asked for`() async throws {
        let path = NSTemporaryDirectory() + "apus-\(UUID().uuidString.prefix(8)).sock"
        try await withServer(
            {
                $0.binds = [.unix(path: path)]
                $0.unixSocket.mode = 0o620
            },
            application: application
        ) { _ in
            let attributes = try FileManager.default.attributesOfItem(atPath: path)
            #expect(attributes[.posixPermissions] as? Int == 0o620)
        }
    }

    // MARK: - systemd

    private func configuration(_ binds: Bind...) throws -> Configuration {
        var configuration = Configuration()
        configuration.binds = binds
        configuration.tls = try TestCertificate.shared()
        return configuration
    }

    @Test func `the sockets that systemd passes are one place, and those of a name one each`() throws {
        let tcp = try BoundSocket.tcp(try Self.anyPort())
        let udp = try BoundSocket.udp(try Self.anyPort())
        var passed = PassedSockets(passed: [(Self.descriptor(tcp), "web"), (Self.descriptor(udp), "quic")])
        let all = try ServerSockets.open(try configuration(.systemd(name: nil)), slotCount: 4, &passed)
        #expect(all.sockets(of: 3).entries.map(\.place) == [0, 0])
        #expect(all.sockets(of: 3).entries.map(\.isShared) == [true, true])
        // HTTP/3 is at another port than TCP, so that it has a line of its own.
        #expect(all.listeners.map(\.protocols) == [[.http1, .http2], [.http3]])

        passed = PassedSockets(passed: [(Self.descriptor(tcp), "web"), (Self.descriptor(udp), "quic")])
        let named = try ServerSockets.open(
            try configuration(.systemd(name: "quic"), .systemd(name: "web")),
            slotCount: 1,
            &passed
        )
        #expect(named.listeners.map(\.protocols) == [[.http3], [.http1, .http2]])
    }

    @Test func `what cannot be a place is refused in a sentence`() throws {
        func refusal(
            _ configuration: Configuration,
            _ passed: [(descriptor: Int32, name: String)] = []
        ) throws -> String {
            var passed = PassedSockets(passed: passed)
            let error = #expect(throws: ConfigurationError.self) {
                try ServerSockets.open(configuration, slotCount: 1, &passed)
            }
            #expect(error?.option == "--bind")
            return try #require(error).message
        }
        let null = open("/dev/null", O_RDONLY | O_CLOEXEC)
        defer { close(null) }
        let unbound = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(unbound) }
        let web = Self.descriptor(try .tcp(try Self.anyPort()))
        let quic = Self.descriptor(try .udp(try Self.anyPort()))
        let none = try refusal(try configuration(.systemd(name: nil)))
        #expect(none.contains("LISTEN_FDS"))
        #expect(try refusal(try configuration(.systemd(name: "x")), [(web, "web")]).contains("only web"))
        #expect(try refusal(try configuration(.descriptor(9999))).contains("not open"))
        #expect(try refusal(try configuration(.descriptor(null))).contains("not a socket"))
        #expect(try refusal(try configuration(.descriptor(unbound))).contains("bound to no address"))
        #expect(
            try refusal(try configuration(.descriptor(dup(web)), .systemd(name: nil)), [(null, "a")])
                .contains("not a socket")
        )
        let twice = dup(web)
        #expect(try refusal(try configuration(.descriptor(twice), .descriptor(twice))).contains("two places"))
        var plain = try configuration(.descriptor(dup(quic)))
        plain.tls = nil
        #expect(try refusal(plain).contains("certificate"))
        var old = try configuration(.descriptor(dup(quic)))
        old.protocols = [.http1]
        #expect(try refusal(old).contains("without HTTP/3"))
        var new = try configuration(.descriptor(dup(web)))
        new.protocols = [.http3]
        #expect(try refusal(new).contains("stream socket"))
        var abstract = try configuration(.unix(path: "@x"))
        abstract.unixSocket.mode = 0o600
        #expect(try refusal(abstract).contains("no mode"))
        close(web)
        close(quic)
    }
}
