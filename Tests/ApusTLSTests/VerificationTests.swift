import ApusTLS
import Foundation
import Testing

@Suite struct VerificationTests {
    @Test func untrustedServerIsRefusedAndLearnsWhy() throws {
        let peers = try Peers { _, client in client.trustFile = client.trustFile?.replacing("ecdsa", with: "rsa") }
        _ = try peers.server.take(peers.client.flush())
        let error = #expect(throws: TLSError.self) { try peers.client.take(peers.server.flush()) }
        #expect(error?.description.contains("certificate is refused") == true)
        let alert = #expect(throws: TLSError.self) { try peers.server.take(peers.client.flush()) }
        guard case .peerAlert = alert else { throw UnexpectedError(error: alert) }
    }

    @Test func certificateMustBeForTheName() throws {
        let server = try TLSContext(configuration: .server(.test("ecdsa")))
        let client = try TLSContext(configuration: .trusting("ecdsa.pem"))
        #expect(try completes(TLSSession(context: client, serverName: "localhost"), with: server))
        #expect(try completes(TLSSession(context: client, serverName: "127.0.0.1"), with: server))
        #expect(throws: TLSError.self) {
            try completes(TLSSession(context: client, serverName: "other.example"), with: server)
        }
        #expect(throws: TLSError.self) {
            try completes(TLSSession(context: client, serverName: "127.0.0.2"), with: server)
        }
    }

    @Test func addressIsNotSentAsAServerName() throws {
        let client = try TLSSession(context: TLSContext(configuration: .client()), serverName: "127.0.0.1")
        let server = try TLSSession(context: TLSContext(configuration: .server(.test("ecdsa"))))
        _ = try server.take(client.flush())
        #expect(server.serverName == nil)
    }

    @Test func clientMayLeaveTheServerUnverified() throws {
        let peers = try Peers { _, client in
            client.trustFile = nil
            client.peerVerification = .off
        }
        _ = try peers.exchange()
        #expect(peers.client.isHandshakeComplete)
    }

    @Test func wholeChainIsSent() throws {
        let certificates = try Certificates.shared.get()
        let identity = TLSConfiguration.Identity(
            certificateFile: certificates.path("chain.pem"),
            keyFile: certificates.path("leaf.key")
        )
        let peers = try Peers { server, _ in server.identity = identity }
        _ = try peers.exchange()
        let chain = peers.client.peerCertificateChain
        #expect(chain.count == 2 && chain[0] != chain[1])
        // DER: a sequence with a length of two bytes, which is that of the rest.
        for certificate in chain {
            #expect(certificate.prefix(2) == [0x30, 0x82])
            #expect(Int(certificate[2]) << 8 + Int(certificate[3]) == certificate.count - 4)
        }
    }

    @Test(arguments: [TLSVersion.tls12, .tls13])
    func serverSeesTheClientsCertificate(version: TLSVersion) throws {
        let certificates = try Certificates.shared.get()
        let peers = try Peers { server, client in
            server.maximumVersion = version
            server.peerVerification = .required
            server.trustFile = certificates.path("ecdsa.pem")
            client.identity = .init(
                certificateFile: certificates.path("chain.pem"),
                keyFile: certificates.path("leaf.key")
            )
        }
        _ = try peers.exchange()
        #expect(peers.server.isHandshakeComplete)
        #expect(peers.server.peerCertificateChain.count == 2)
        #expect(peers.client.peerCertificateChain.count == 1)
        let other = try Peers()
        _ = try other.exchange()
        #expect(other.server.peerCertificateChain.isEmpty)
    }

    @Test func clientWithoutCertificateIsRefusedOnlyWhereItIsRequired() throws {
        let certificates = try Certificates.shared.get()
        func peers(_ verification: TLSConfiguration.PeerVerification) throws -> Peers {
            try Peers { server, _ in
                server.peerVerification = verification
                server.trustFile = certificates.path("ecdsa.pem")
            }
        }
        let optional = try peers(.optional)
        _ = try optional.exchange()
        #expect(optional.server.isHandshakeComplete && optional.server.peerCertificateChain.isEmpty)
        #expect(throws: TLSError.protocolViolation("peer did not return a certificate")) {
            try peers(.required).exchange()
        }
    }

    @Test func verifiedSessionCanBeResumed() throws {
        var configuration = try TLSConfiguration.server(.test("ecdsa"))
        configuration.peerVerification = .required
        configuration.trustFile = try Certificates.shared.get().path("ecdsa.pem")
        let server = try TLSContext(configuration: configuration)
        var clientConfiguration = try TLSConfiguration.trusting("ecdsa.pem")
        clientConfiguration.identity = try .test("ecdsa")
        let client = try TLSContext(configuration: clientConfiguration)
        let first = try Peers(server: server, client: client)
        _ = try first.exchange()
        let resumption = try #require(first.client.resumption)
        let second = try Peers(server: server, client: client, resuming: resumption)
        _ = try second.exchange()
        #expect(second.server.wasResumed && second.server.peerCertificateChain.count == 1)
    }

    @Test func peerChainIsBounded() throws {
        let certificates = try Certificates.shared.get()
        let root = try String(contentsOfFile: certificates.path("ecdsa.pem"), encoding: .utf8)
        let leaf = try String(contentsOfFile: certificates.path("leaf.pem"), encoding: .utf8)
        let sizes = try [leaf, root].map { try derSize($0) }
        // RFC 8446 §4.4.2: an empty context and the list's length, then for each its length and (no) extensions.
        let room = TLSContext.maxPeerChainSize - 4 - (sizes[0] + 5)
        let most = room / (sizes[1] + 5)
        for (copies, fits) in [(most, true), (most + 1, false)] {
            let path = certificates.path("chain-\(copies).pem")
            try (leaf + String(repeating: root, count: copies)).write(toFile: path, atomically: true, encoding: .utf8)
            let peers = try Peers { server, client in
                server.peerVerification = .required
                server.trustFile = certificates.path("ecdsa.pem")
                client.identity = .init(certificateFile: path, keyFile: certificates.path("leaf.key"))
            }
            if fits {
                _ = try peers.exchange()
                #expect(peers.server.isHandshakeComplete)
            } else {
                #expect(throws: TLSError.protocolViolation("excessive message size")) { try peers.exchange() }
            }
        }
    }

    private func derSize(_ pem: String) throws -> Int {
        let base64 = pem.split(separator: "\n").filter { !$0.hasPrefix("-----") }.joined()
        return try #require(Data(base64Encoded: base64)).count
    }

    private func completes(_ client: TLSSession, with context: TLSContext) throws -> Bool {
        let server = try TLSSession(context: context)
        _ = try server.take(client.flush())
        _ = try client.take(server.flush())
        return client.isHandshakeComplete
    }
}
