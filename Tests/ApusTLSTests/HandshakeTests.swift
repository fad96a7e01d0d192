import ApusTLS
import Testing

@Suite struct HandshakeTests {
    @Test(arguments: ["ecdsa", "rsa"], [TLSVersion.tls12, .tls13])
    func handshakeCompletesAndBytesFlow(certificate: String, version: TLSVersion) throws {
        let peers = try Peers(certificate: certificate) { server, _ in
            server.maximumVersion = version; server.minimumVersion = version
        }
        _ = try peers.exchange()
        #expect(peers.server.isHandshakeComplete && peers.client.isHandshakeComplete)
        #expect(peers.server.version == version.rawValue && peers.client.version == version.rawValue)
        #expect(peers.server.negotiatedProtocol == .http2 && peers.client.negotiatedProtocol == .http2)
        #expect(peers.server.serverName == "localhost")
        #expect(peers.server.cipherSuite == peers.client.cipherSuite)
        #expect(!peers.server.wasResumed)

        try peers.client.send(Array("ping".utf8))
        try peers.server.send(Array("pong".utf8))
        let received = try peers.exchange()
        #expect(received.atServer == Array("ping".utf8))
        #expect(received.atClient == Array("pong".utf8))
    }
}
