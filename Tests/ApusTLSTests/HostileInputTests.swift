import COpenSSL
import Testing

@testable import ApusTLS

@Suite struct HostileInputTests {
    private func server() throws -> TLSSession {
        try TLSSession(context: TLSContext(configuration: .server(.test("ecdsa"))))
    }

    // MARK: No TLS

    @Test(arguments: [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HEAD / HTTP/1.1\r\n", "POST /x HTTP/1.0\r\n", "PUT /x HTTP/1.1\r\n",
        "DELETE /x HTTP/1.1\r\n", "OPTIONS * HTTP/1.1\r\n", "CONNECT a:1 HTTP/1.1\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ])
    func plaintextHTTPIsToldApart(request: String) throws {
        let bytes = Array(request.utf8)
        for cut in 0...bytes.count {
            let session = try server()
            #expect(throws: TLSError.plaintextHTTP) {
                _ = try session.take(Array(bytes.prefix(cut)))
                _ = try session.take(Array(bytes.dropFirst(cut)))
            }
            // The answer goes out in clear.
            #expect(!session.hasOutput)
            #expect(throws: TLSError.ended) { try session.take([0]) }
        }
    }

    @Test func fewBytesDecideNothing() throws {
        let session = try server()
        #expect(try session.take(Array("GET ".utf8)) == [])
        #expect(throws: TLSError.plaintextHTTP) { try session.take(Array("/".utf8)) }
    }

    @Test(arguments: [
        Array("SSH-2.0-x\r\n".utf8), Array("get / http/1.1\r\n".utf8), Array("AB /x HTTP/1.1\r\n".utf8),
        [UInt8](repeating: 0, count: 64), [UInt8](repeating: 0xFF, count: 64),
        // A record that is too large (RFC 8446 §5.1), one of an unknown type.
        [22, 3, 1, 0xFF, 0xFF, 1], [99, 3, 1, 0, 1, 0],
        // Data before anything is agreed on, a ClientHello of the size 2^24 - 1, a ServerHello.
        [23, 3, 3, 0, 1, 0], [22, 3, 1, 0, 4, 1, 0xFF, 0xFF, 0xFF], [22, 3, 1, 0, 4, 2, 0, 0, 0],
    ])
    func garbageIsAProtocolViolation(bytes: [UInt8]) throws {
        for step in [1, Int.max] {
            let session = try server()
            let error = #expect(throws: TLSError.self) { try session.take(bytes, step: step) }
            guard case .protocolViolation = error else { throw UnexpectedError(error: error) }
            #expect(throws: TLSError.ended) { try session.take([0]) }
            #expect(!session.isHandshakeComplete)
        }
    }

    @Test func everyByteOfAClientHelloMayBeWrong() throws {
        let context = try TLSContext(configuration: .server(.test("ecdsa")))
        let client = try TLSSession(
            context: TLSContext(configuration: .trusting("ecdsa.pem")),
            serverName: "localhost"
        )
        let hello = client.flush()
        for index in hello.indices {
            var damaged = hello
            damaged[index] ^= 0xFF
            let session = try TLSSession(context: context)
            // Some are accepted, some wait for more, most are refused; none traps and none completes.
            _ = try? session.take(damaged)
            #expect(!session.isHandshakeComplete)
        }
    }

    // MARK: Broken TLS

    @Test(arguments: [TLSVersion.tls12, .tls13])
    func changedRecordIsRefusedWithItsAlert(version: TLSVersion) throws {
        let peers = try openPeers(version)
        try peers.client.send(pattern(100))
        var flight = peers.client.flush()
        flight[50] ^= 1
        #expect(throws: TLSError.protocolViolation("decryption failed or bad record mac")) {
            try peers.server.take(flight)
        }
        #expect(throws: TLSError.peerAlert(code: 20, name: "bad record mac")) {
            try peers.client.take(peers.server.flush())
        }
        #expect(throws: TLSError.ended) { try peers.server.send([1]) }
    }

    @Test func recordsOfTheLargestSizeAreTakenAndNoLarger() throws {
        // The header alone decides: 2^14 + 256 is awaited, one more is refused (RFC 8446 §5.2).
        let largest = try openPeers(.tls13)
        #expect(try largest.server.take([23, 3, 3, 0x41, 0x00]) == [])
        let tooLarge = try openPeers(.tls13)
        #expect(throws: TLSError.self) { try tooLarge.server.take([23, 3, 3, 0x41, 0x01]) }
        #expect(tooLarge.server.hasOutput)
    }

    @Test func clientHelloIsBounded() throws {
        // The library's own bound, 131396 bytes: its length alone decides.
        let largest = try server()
        #expect(try largest.take([22, 3, 1, 0, 4, 1, 0x02, 0x01, 0x44]) == [])
        let tooLarge = try server()
        #expect(throws: TLSError.protocolViolation("excessive message size")) {
            try tooLarge.take([22, 3, 1, 0, 4, 1, 0x02, 0x01, 0x45])
        }
    }

    @Test func emptyRecordsComeToAnEnd() throws {
        let session = try server()
        #expect(try session.take([22, 3, 1, 0, 0]) == [])
        #expect(throws: TLSError.protocolViolation("record too small")) {
            for _ in 0..<100 { _ = try session.take([22, 3, 1, 0, 0]) }
        }
    }

    @Test func closeNotifyDuringTheHandshakeEndsIt() throws {
        let peers = try Peers()
        _ = try peers.server.take(peers.client.flush())
        #expect(throws: TLSError.peerAlert(code: 0, name: "close notify")) {
            try peers.server.take([21, 3, 3, 0, 2, 1, 0])
        }
        #expect(peers.server.receivedCloseNotify && !peers.server.isHandshakeComplete)
    }

    @Test func fatalAlertIsReportedByItsName() throws {
        let peers = try Peers()
        _ = try peers.server.take(peers.client.flush())
        #expect(throws: TLSError.peerAlert(code: 40, name: "handshake failure")) {
            try peers.server.take([21, 3, 3, 0, 2, 2, 40])
        }
    }

    // MARK: Old and new keys

    @Test func renegotiationEndsTheConnection() throws {
        let peers = try openPeers(.tls12)
        // What our own client never does: SSL_OP_NO_RENEGOTIATION is bit 30.
        _ = SSL_clear_options(peers.client.handle, 1 << 30)
        #expect(SSL_renegotiate(peers.client.handle) == 1)
        _ = SSL_do_handshake(peers.client.handle)
        #expect(peers.client.hasOutput)
        #expect(throws: TLSError.protocolViolation("the peer asked for a renegotiation")) {
            try peers.server.take(peers.client.flush())
        }
        #expect(throws: TLSError.ended) { try peers.server.send([1]) }
    }

    @Test func peerMayAskForNewKeys() throws {
        let peers = try openPeers(.tls13)
        for round in 0..<10 {
            try askForNewKeys(peers.client)
            try peers.client.send([UInt8(round)])
            #expect(try peers.server.take(peers.client.flush()) == [UInt8(round)])
            try peers.server.send([UInt8(round)])
            #expect(try peers.client.take(peers.server.flush()) == [UInt8(round)])
        }
    }

    @Test func requestsForNewKeysCannotFillTheMemory() throws {
        let peers = try openPeers(.tls13)
        // An answer goes out with the next write, or with the next request: only the second one shows its size.
        for _ in 0..<2 {
            try askForNewKeys(peers.client)
            _ = try peers.server.take(peers.client.flush())
        }
        let size = peers.server.pendingOutput.count
        try #require(size > 0)
        for _ in 1..<TLSSession.maxKeyUpdateOutput / size {
            try askForNewKeys(peers.client)
            _ = try peers.server.take(peers.client.flush())
        }
        try askForNewKeys(peers.client)
        #expect(throws: TLSError.protocolViolation("the peer asked for new keys too often")) {
            try peers.server.take(peers.client.flush())
        }
    }

    private func askForNewKeys(_ session: TLSSession) throws {
        #expect(SSL_key_update(session.handle, SSL_KEY_UPDATE_REQUESTED) == 1)
        #expect(SSL_do_handshake(session.handle) == 1)
    }
}
