import Apus
import ApusGateway
import Testing

/// Connections over the loops of a process, as evenly as chance has them.
@Suite("The spread over several loops", .timeLimit(.minutes(5)))
struct LoopSpreadTests {
    private static let loops = 4
    private static let connections = 320
    /// What chi squared reaches less than once in a million, for so many connections that each choose one of so many loops.
    private static let bound = 31.0

    /// Answers with the name of the loop.
    private let application: TestApplication = { scope, _, send in
        guard case .http = scope else { return }
        try await send(.responseStart(status: 200))
        try await send(.responseBody(Bytes(threadName())))
    }

    /// Asks once on each of many connections, and compares what the loops have had of them.
    private func expectEven(_ connect: (ServerFixture) async throws -> String) async throws {
        var counts = Dictionary(
            uniqueKeysWithValues: (0..<Self.loops).map { ($0 == 0 ? "apus-worker" : "apus-\($0)", 0) }
        )
        try await withServer(
            {
                $0.loops = Self.loops
                $0.tls = try? TestCertificate.shared()
                $0.insecureBinds = [.address(host: "127.0.0.1", port: 0)]
                // Handshakes come one after the other from one address: none of them is to wait for a Retry.
                $0.quicRetry = .off
            },
            application: application
        ) { fixture in
            for _ in 0..<Self.connections { counts[try await connect(fixture), default: 0] += 1 }
        }
        #expect(counts.count == Self.loops)
        let each = Double(Self.connections) / Double(Self.loops)
        let statistic = counts.values.reduce(0.0) { $0 + (Double($1) - each) * (Double($1) - each) / each }
        #expect(statistic < Self.bound, "\(counts)")
    }

    @Test func `connections over TCP are spread evenly`() async throws {
        try await expectEven { fixture in
            let client = try RawClient(port: try #require(fixture.listeners.last?.address.port))
            try await client.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n")
            return try await client.response().body
        }
    }

    @Test func `connections over QUIC are spread evenly`() async throws {
        try await expectEven { fixture in
            let client = try HTTP3TestClient(port: fixture.port)
            defer { client.close() }
            return try await client.get().body
        }
    }
}
