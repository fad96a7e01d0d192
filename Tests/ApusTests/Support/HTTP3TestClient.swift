import ApusGateway
import ApusHTTP
import ApusTestClients
import Synchronization
import Testing

/// An HTTP/3 client on loopback; its calls wait on threads of their own.
final class HTTP3TestClient: Sendable {
    /// Seconds that anything may take: a test that hangs is to fail instead.
    private static let patience = 20.0

    struct Answer: Sendable {
        let status: Int?
        let body: String
    }

    private let caller: Mutex<HTTP3Caller>

    init(port: Int) throws {
        let server = try #require(SocketAddress(literal: "127.0.0.1", port: UInt16(port)))
        caller = Mutex(try HTTP3Caller(server: server))
    }

    func get(_ path: String = "/") async throws -> Answer {
        try await onThread { [self] in
            try caller.withLock { caller in
                let response = try caller.get(path, until: .now + .seconds(Self.patience))
                return Answer(status: response.status, body: String(decoding: response.body, as: UTF8.self))
            }
        }
    }

    /// Goes on from another port, as behind a NAT that has forgotten this client; what comes to the old one is lost.
    func changePort() throws {
        try caller.withLock { try $0.changePort() }
    }

    /// Ends the connection.
    func close() {
        caller.withLock { $0.close() }
    }

    /// The certificate that the server has shown.
    var certificate: [UInt8]? { caller.withLock { $0.client.peerCertificate } }

    /// Whether the server has told the client to go elsewhere with further requests.
    var wasToldToGo: Bool { caller.withLock { !$0.client.goaways.isEmpty } }

    /// Asks once more, and waits until a stateless reset is the answer.
    func waitForReset() async throws {
        try await onThread { [self] in
            caller.withLock { caller in
                _ = caller.client.request("GET", "/")
                try? caller.run(until: .now + .seconds(Self.patience), "a reset") { false }
                #expect(caller.client.receivedStatelessReset)
            }
        }
    }
}
