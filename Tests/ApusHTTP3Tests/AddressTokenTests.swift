import ApusHTTP
import ApusTestClients
import CNgtcp2
import Testing

@testable import ApusHTTP3

/// Tokens by themselves: who understands whose, from where, and for how long.
@Suite struct AddressTokenTests {
    private let clock = VirtualWallClock()
    private let secrets = QUICSecrets.random()
    private let remote = SocketAddress(literal: "10.0.0.2", port: 4433)!

    private func tokens(
        secrets: QUICSecrets? = nil,
        _ adjust: (inout QUICConfiguration) -> Void = { _ in }
    ) throws -> AddressTokens {
        let clock = clock
        var configuration = QUICConfiguration(
            limits: Limits(),
            credentials: try TestCertificate.shared.credentials(),
            secrets: secrets ?? self.secrets,
            wallClock: { clock.nanoseconds }
        )
        adjust(&configuration)
        return AddressTokens(configuration: configuration)
    }

    private func identifier(_ byte: UInt8) -> ngtcp2_cid {
        [UInt8](repeating: byte, count: 19).withUnsafeBytes { ConnectionID($0)?.cValue ?? ngtcp2_cid() }
    }

    private func header(_ destination: ngtcp2_cid, version: UInt32 = 1) -> ngtcp2_pkt_hd {
        var header = ngtcp2_pkt_hd()
        header.version = version
        header.dcid = destination
        return header
    }

    /// What a token proves in an Initial packet for an ID.
    private func proof(
        _ tokens: inout AddressTokens,
        _ token: [UInt8],
        _ destination: ngtcp2_cid,
        from remote: SocketAddress? = nil,
        version: UInt32 = 1
    ) -> String {
        token.withUnsafeBufferPointer { bytes in
            var header = header(destination, version: version)
            header.token = bytes.baseAddress
            header.tokenlen = bytes.count
            switch tokens.proof(in: header, from: remote ?? self.remote) {
            case .none: return "none"
            case .known: return "known"
            case .invalid: return "invalid"
            case .retried(let original): return "retried \(ConnectionID(original) == ConnectionID(identifier(1)))"
            }
        }
    }

    /// A Retry token, for a client that called the server by the ID 1 and is to call it by 2.
    private func retryToken(_ tokens: inout AddressTokens, for remote: SocketAddress? = nil) -> [UInt8] {
        tokens.retryToken(for: remote ?? self.remote, header: header(identifier(1)), newID: identifier(2))
    }

    private func wait(_ seconds: Double) {
        clock.advance(by: TimeSpan.seconds(seconds).nanoseconds)
    }

    @Test func `each of eight workers understands the tokens of every other`() throws {
        var workers = try (0..<8).map { _ in try tokens() }
        for maker in workers.indices {
            for _ in 0..<100 {
                let token = retryToken(&workers[maker])
                let regular = workers[maker].newToken(for: remote)
                for reader in workers.indices {
                    #expect(proof(&workers[reader], token, identifier(2)) == "retried true")
                    #expect(proof(&workers[reader], regular, identifier(3)) == "known")
                }
            }
        }
    }

    @Test func `a Retry token is of use from its address and port alone`() throws {
        var tokens = try tokens()
        for (literal, other) in [("10.0.0.2", "10.0.0.3"), ("2001:db8::1", "2001:db8::2")] {
            let remote = SocketAddress(literal: literal, port: 4433)!
            let token = retryToken(&tokens, for: remote)
            #expect(proof(&tokens, token, identifier(2), from: remote) == "retried true")
            let elsewhere = SocketAddress(literal: other, port: 4433)!
            #expect(proof(&tokens, token, identifier(2), from: elsewhere) == "invalid")
            let otherPort = SocketAddress(literal: literal, port: 4434)!
            #expect(proof(&tokens, token, identifier(2), from: otherPort) == "invalid")
            let family = SocketAddress(literal: literal == "10.0.0.2" ? "::1" : "10.0.0.2", port: 4433)!
            #expect(proof(&tokens, token, identifier(2), from: family) == "invalid")
        }
    }

    @Test func `a Retry token belongs to its new ID and version`() throws {
        var tokens = try tokens()
        let token = retryToken(&tokens)
        #expect(proof(&tokens, token, identifier(1)) == "none")
        #expect(proof(&tokens, token, identifier(2), version: 0x6b33_43cf) == "none")
    }

    @Test func `a NEW_TOKEN is of use from its address and any port`() throws {
        var tokens = try tokens()
        for (literal, other) in [("10.0.0.2", "10.0.0.3"), ("2001:db8::1", "2001:db8::2")] {
            let token = tokens.newToken(for: SocketAddress(literal: literal, port: 1)!)
            let otherPort = SocketAddress(literal: literal, port: 2)!
            #expect(proof(&tokens, token, identifier(3), from: otherPort) == "known")
            let elsewhere = SocketAddress(literal: other, port: 1)!
            #expect(proof(&tokens, token, identifier(3), from: elsewhere) == "none")
        }
    }

    @Test func `tokens are of use to the end of their lifetimes and not past it`() throws {
        var tokens = try tokens {
            $0.retryTokenLifetime = 10
            $0.addressTokenLifetime = 3600
        }
        let retry = retryToken(&tokens)
        let regular = tokens.newToken(for: remote)
        wait(9.999_999_999)
        #expect(proof(&tokens, retry, identifier(2)) == "retried true")
        wait(0.000_000_001)
        #expect(proof(&tokens, retry, identifier(2)) == "invalid")
        wait(3589.999_999_999)
        #expect(proof(&tokens, regular, identifier(3)) == "known")
        wait(0.000_000_001)
        #expect(proof(&tokens, regular, identifier(3)) == "none")
    }

    @Test func `keys turn with the wall clock, and those of the period before are understood`() throws {
        let adjust = { (configuration: inout QUICConfiguration) in
            configuration.tokenKeyPeriod = 100
            configuration.retryTokenLifetime = 10_000
            configuration.addressTokenLifetime = 10_000
        }
        var maker = try tokens(adjust)
        // To the first nanosecond of a period.
        clock.advance(by: 100_000_000_000 - clock.nanoseconds % 100_000_000_000)
        let retry = retryToken(&maker)
        let regular = maker.newToken(for: remote)
        wait(199.999_999_999)
        // As well by who has been there all the time as by who starts now.
        var late = try tokens(adjust)
        for _ in 0..<2 {
            #expect(proof(&maker, retry, identifier(2)) == "retried true")
            #expect(proof(&maker, regular, identifier(3)) == "known")
            #expect(proof(&late, retry, identifier(2)) == "retried true")
            #expect(proof(&late, regular, identifier(3)) == "known")
        }
        wait(0.000_000_001)
        #expect(proof(&maker, retry, identifier(2)) == "none")
        #expect(proof(&maker, regular, identifier(3)) == "none")
        #expect(proof(&late, regular, identifier(3)) == "none")
    }

    @Test func `the tokens of other secrets prove nothing`() throws {
        var stranger = try tokens(secrets: .random())
        var own = try tokens()
        let retry = retryToken(&stranger)
        let regular = stranger.newToken(for: remote)
        #expect(proof(&own, retry, identifier(2)) == "none")
        #expect(proof(&own, regular, identifier(3)) == "none")
    }

    @Test func `forged, truncated and extended tokens prove nothing`() throws {
        var tokens = try tokens()
        let retry = retryToken(&tokens)
        let regular = tokens.newToken(for: remote)
        for (token, destination) in [(retry, identifier(2)), (regular, identifier(3))] {
            for index in token.indices {
                var forged = token
                forged[index] ^= 0x20
                #expect(proof(&tokens, forged, destination) == "none")
                #expect(proof(&tokens, Array(token.prefix(index)), destination) == "none")
            }
            #expect(proof(&tokens, token + [0], destination) == "none")
        }
        #expect(proof(&tokens, [], identifier(2)) == "none")
    }

    @Test func `secrets travel as bytes`() throws {
        let bytes = secrets.encoded
        #expect(bytes.count == QUICSecrets.encodedLength)
        #expect(QUICSecrets(encoded: bytes) == secrets)
        #expect(QUICSecrets(encoded: bytes.dropLast()) == nil)
        #expect(QUICSecrets(encoded: bytes + [0]) == nil)
        #expect(QUICSecrets.random() != QUICSecrets.random())
        #expect(secrets.steeringKey & 1 == 1)
    }

    @Test func `no description shows a secret`() {
        let secrets = QUICSecrets(
            staticSecret: Array(repeating: 251, count: 32),
            steeringKey: 251,
            connectionIDKey: Array(repeating: 251, count: 16),
            tokenSecret: Array(repeating: 251, count: 32)
        )
        var dumped = ""
        dump(secrets, to: &dumped)
        for text in [String(describing: secrets), String(reflecting: secrets), "\([secrets])", dumped] {
            #expect(text.contains("QUICSecrets") && !text.contains("251"))
        }
    }
}
