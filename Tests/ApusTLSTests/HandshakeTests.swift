import ApusTLS
import Testing

@Suite struct HandshakeTests {
    @Test(arguments: ["ecdsa", "rsa"], [TLSVersion.tls12, .tls13])
    func handshakeCompletesAndBytesFlow(certificate: String, version: TLSVersion) throws {
        let peers = try Peers(certificate: certificate) { server, _ in
            server.minimumVersion = version
            server.maximumVersion = version
        }
        _ = try peers.exchange()
        #expect(peers.server.isHandshakeComplete && peers.client.isHandshakeComplete)
        #expect(peers.server.version == version.rawValue && peers.client.version == version.rawValue)
        #expect(peers.server.serverName == "localhost")
        #expect(!peers.server.wasResumed)

        try peers.client.send(Array("ping".utf8))
        try peers.server.send(Array("pong".utf8))
        let received = try peers.exchange()
        #expect(received.atServer == Array("ping".utf8))
        #expect(received.atClient == Array("pong".utf8))
    }

    @Test func cipherSuiteIsTheNumberOfTheRegistry() throws {
        let new = try Peers()
        _ = try new.exchange()
        #expect(new.server.cipherSuite == 0x1301)
        let old = try Peers { server, _ in server.maximumVersion = .tls12 }
        #expect(old.server.cipherSuite == 0)
        _ = try old.exchange()
        // ECDHE-ECDSA-AES128-GCM-SHA256
        #expect(old.server.cipherSuite == 0xC02B && old.client.cipherSuite == 0xC02B)
    }

    @Test(arguments: [TLSVersion.tls12, .tls13])
    func handshakeCompletesByteByByte(version: TLSVersion) throws {
        let peers = try Peers { server, _ in server.maximumVersion = version }
        _ = try peers.exchange(step: 1)
        try peers.client.send(pattern(100))
        #expect(try peers.exchange(step: 1).atServer == pattern(100))
    }

    @Test func clientHelloMayComeInTwoPartsAnywhere() throws {
        let server = try TLSContext(configuration: .server(.test("ecdsa")))
        let client = try TLSContext(configuration: .trusting("ecdsa.pem"))
        let size = try TLSSession(context: client, serverName: "localhost").pendingOutput.count
        for cut in 1..<size {
            let peers = try Peers(server: server, client: client)
            try takeInTwo(peers.client.flush(), cut: cut, by: peers.server)
            _ = try peers.exchange()
            #expect(peers.server.isHandshakeComplete, "cut at \(cut)")
        }
    }

    @Test(arguments: [TLSVersion.tls12, .tls13])
    func serverFlightMayComeInTwoPartsAnywhere(version: TLSVersion) throws {
        var configuration = try TLSConfiguration.server(.test("ecdsa"))
        configuration.maximumVersion = version
        let server = try TLSContext(configuration: configuration)
        let client = try TLSContext(configuration: .trusting("ecdsa.pem"))
        // Signatures differ in size by a few bytes: the last cuts may fall beyond the end, and then part nothing.
        for cut in stride(from: 1, to: 900, by: 1) {
            let peers = try Peers(server: server, client: client)
            _ = try peers.server.take(peers.client.flush())
            try takeInTwo(peers.server.flush(), cut: cut, by: peers.client)
            _ = try peers.exchange()
            #expect(peers.client.isHandshakeComplete && peers.server.isHandshakeComplete, "cut at \(cut)")
        }
    }

    @Test func clientFinishAndFirstBytesMayComeInTwoPartsAnywhere() throws {
        let server = try TLSContext(configuration: .server(.test("ecdsa")))
        let client = try TLSContext(configuration: .trusting("ecdsa.pem"))
        for cut in 1..<140 {
            let peers = try Peers(server: server, client: client)
            _ = try peers.server.take(peers.client.flush())
            _ = try peers.client.take(peers.server.flush())
            try peers.client.send(pattern(20))
            let flight = peers.client.flush()
            let first = try peers.server.take(Array(flight.prefix(cut)))
            let second = try peers.server.take(Array(flight.dropFirst(cut)))
            #expect(first + second == pattern(20), "cut at \(cut)")
        }
    }

    private func takeInTwo(_ flight: [UInt8], cut: Int, by session: TLSSession) throws {
        _ = try session.take(Array(flight.prefix(cut)))
        _ = try session.take(Array(flight.dropFirst(cut)))
    }

    // MARK: Versions

    @Test func tls11ClientIsRefused() throws {
        let session = try TLSSession(context: TLSContext(configuration: .server(.test("ecdsa"))))
        let error = #expect(throws: TLSError.self) { try session.take(clientHello(version: 0x0302)) }
        guard case .protocolViolation = error else { throw UnexpectedError(error: error) }
        // Alert, TLS 1.x, two bytes, fatal, protocol_version.
        let alert = session.flush()
        #expect(alert.count == 7 && alert[0] == 21 && alert.suffix(4) == [0, 2, 2, 70])
    }

    @Test func versionsWithoutOverlapAreRefused() throws {
        let peers = try Peers { server, client in
            server.minimumVersion = .tls13
            client.maximumVersion = .tls12
        }
        #expect(throws: TLSError.self) { try peers.server.take(peers.client.flush()) }
        #expect(throws: TLSError.peerAlert(code: 70, name: "protocol version")) {
            try peers.client.take(peers.server.flush())
        }
    }

    /// A ClientHello of an old version with suites that a modern server knows too.
    private func clientHello(version: UInt16) -> [UInt8] {
        let low = UInt8(version & 0xFF)
        var body: [UInt8] = [3, low] + [UInt8](repeating: 7, count: 32)
        body += [0]  // no session
        body += [0, 4, 0xC0, 0x09, 0xC0, 0x13]  // ECDHE with AES-128-CBC, for ECDSA and RSA
        body += [1, 0]  // no compression
        let message: [UInt8] = [1, 0, 0, UInt8(body.count)] + body
        return [22, 3, 1, 0, UInt8(message.count)] + message
    }

    // MARK: ALPN

    @Test func serverPreferencePicksTheProtocol() throws {
        let peers = try Peers { server, client in
            server.applicationProtocols = [.http11, .http2]
            client.applicationProtocols = [.http2, .http11]
        }
        _ = try peers.exchange()
        #expect(peers.server.negotiatedProtocol == .http11 && peers.client.negotiatedProtocol == .http11)
    }

    @Test func secondChoiceIsTakenWhereTheFirstIsNotOffered() throws {
        let peers = try Peers { _, client in client.applicationProtocols = [.http11] }
        _ = try peers.exchange()
        #expect(peers.server.negotiatedProtocol == .http11)
    }

    @Test(arguments: [TLSVersion.tls12, .tls13])
    func protocolsWithoutOverlapAreRefusedWithTheirAlert(version: TLSVersion) throws {
        let peers = try Peers { server, client in
            server.applicationProtocols = [.http2]
            client.applicationProtocols = [.http11]
            server.maximumVersion = version
        }
        #expect(throws: TLSError.protocolViolation("no application protocol")) {
            try peers.server.take(peers.client.flush())
        }
        #expect(throws: TLSError.peerAlert(code: 120, name: "no application protocol")) {
            try peers.client.take(peers.server.flush())
        }
    }

    @Test func withoutAnOfferNoProtocolIsNegotiated() throws {
        let silentClient = try Peers { _, client in client.applicationProtocols = [] }
        _ = try silentClient.exchange()
        #expect(silentClient.server.isHandshakeComplete && silentClient.server.negotiatedProtocol == nil)
        let silentServer = try Peers { server, _ in server.applicationProtocols = [] }
        _ = try silentServer.exchange()
        #expect(silentServer.client.isHandshakeComplete && silentServer.client.negotiatedProtocol == nil)
    }

    // MARK: Resumption

    @Test(arguments: [TLSVersion.tls12, .tls13])
    func ticketResumesASession(version: TLSVersion) throws {
        var configuration = try TLSConfiguration.server(.test("ecdsa"))
        configuration.maximumVersion = version
        let server = try TLSContext(configuration: configuration)
        let client = try TLSContext(configuration: .trusting("ecdsa.pem"))
        let first = try Peers(server: server, client: client)
        _ = try first.exchange()
        let resumption = try #require(first.client.resumption)

        let second = try Peers(server: server, client: client, resuming: resumption)
        _ = try second.exchange()
        #expect(second.server.wasResumed && second.client.wasResumed)
        #expect(second.server.negotiatedProtocol == .http2)
        try second.client.send([1, 2, 3])
        #expect(try second.exchange().atServer == [1, 2, 3])
    }

    @Test func ticketOfAnotherServerLeadsToAFullHandshake() throws {
        let client = try TLSContext(configuration: .trusting("ecdsa.pem"))
        let first = try Peers(server: TLSContext(configuration: .server(.test("ecdsa"))), client: client)
        _ = try first.exchange()
        let resumption = try #require(first.client.resumption)
        let other = try TLSContext(configuration: .server(.test("ecdsa")))
        let second = try Peers(server: other, client: client, resuming: resumption)
        _ = try second.exchange()
        #expect(second.server.isHandshakeComplete && !second.server.wasResumed)
    }

    @Test func sessionsOfOneContextMayRunOnManyThreads() async throws {
        let server = try TLSContext(configuration: .server(.test("ecdsa")))
        let client = try TLSContext(configuration: .trusting("ecdsa.pem"))
        try await withThrowingTaskGroup(of: Bool.self) { group in
            for _ in 0..<16 {
                group.addTask { @concurrent in
                    let peers = try Peers(server: server, client: client)
                    _ = try peers.exchange()
                    return peers.server.isHandshakeComplete
                }
            }
            for try await isComplete in group { #expect(isComplete) }
        }
    }
}

struct UnexpectedError: Error {
    let error: TLSError?
}
