import ApusTLS
import Testing

/// What the operator is told about certificates and keys.
@Suite struct IdentityTests {
    private let certificates: Certificates

    init() throws {
        certificates = try Certificates.shared.get()
    }

    @Test(arguments: [
        ("ecdsa.pem", "ecdsa.key", nil),
        ("ecdsa.pem", "ecdsa-traditional.key", nil),
        ("ecdsa.pem", "ecdsa-encrypted.key", Certificates.password),
        ("rsa.pem", "rsa.key", nil),
        ("rsa.pem", "rsa-encrypted.key", Certificates.password),
        ("both.pem", nil, nil),
        // A password that is not needed does no harm.
        ("ecdsa.pem", "ecdsa.key", "unneeded"),
    ])
    func keyIsRead(certificate: String, key: String?, password: String?) throws {
        let server = try context(certificate, key, password)
        let trusted = certificate == "rsa.pem" ? "rsa.pem" : "ecdsa.pem"
        let peers = try Peers(server: server, client: TLSContext(configuration: .trusting(trusted)))
        _ = try peers.exchange()
        #expect(peers.client.isHandshakeComplete)
    }

    @Test(arguments: ["ecdsa", "rsa"])
    func encryptedKeyWithoutPasswordIsNamed(name: String) throws {
        let key = "\(name)-encrypted.key"
        #expect(
            sentence("\(name).pem", key, nil)
                == "The private key file \(certificates.path(key)) is encrypted and no password was given"
        )
    }

    @Test(arguments: ["ecdsa", "rsa"], ["battery staple", "", String(repeating: "x", count: 1025)])
    func wrongPasswordIsNamedButNeverShown(name: String, password: String) throws {
        let key = "\(name)-encrypted.key"
        #expect(
            sentence("\(name).pem", key, password)
                == "The private key file \(certificates.path(key)) is encrypted and the given password does not open it"
        )
    }

    @Test(arguments: [("ecdsa.pem", "rsa.key"), ("ecdsa.pem", "leaf.key"), ("rsa.pem", "ecdsa.key")])
    func keyMustMatchTheCertificate(certificate: String, key: String) throws {
        let keyPath = certificates.path(key)
        let certificatePath = certificates.path(certificate)
        #expect(
            sentence(certificate, key, nil)
                == "The private key in \(keyPath) does not match the certificate in \(certificatePath)"
        )
    }

    @Test(arguments: [
        ("absent.pem", "ecdsa.key", "The certificate file % cannot be read: No such file or directory"),
        ("", "ecdsa.key", "The certificate file % cannot be read: Is a directory"),
        ("text.txt", "ecdsa.key", "The certificate file % holds no certificate in PEM form"),
        ("ecdsa.key", "ecdsa.key", "The certificate file % holds no certificate in PEM form"),
        ("largest.txt", "ecdsa.key", "The certificate file % holds no certificate in PEM form"),
        ("too-large.txt", "ecdsa.key", "The certificate file % cannot be read: it is larger than 1048576 bytes"),
    ])
    func unusableCertificateFileIsNamed(certificate: String, key: String, expected: String) throws {
        #expect(sentence(certificate, key, nil) == expected.replacing("%", with: certificates.path(certificate)))
    }

    @Test(arguments: [
        ("absent.key", "The private key file % cannot be read: No such file or directory"),
        ("text.txt", "The private key file % holds no usable private key in PEM form"),
        ("ecdsa.pem", "The private key file % holds no usable private key in PEM form"),
    ])
    func unusableKeyFileIsNamed(key: String, expected: String) throws {
        #expect(sentence("ecdsa.pem", key, nil) == expected.replacing("%", with: certificates.path(key)))
    }

    @Test func certificateFileWithoutKeyIsNamed() throws {
        let path = certificates.path("ecdsa.pem")
        #expect(
            sentence("ecdsa.pem", nil, nil) == "The private key file \(path) holds no usable private key in PEM form"
        )
    }

    @Test func damagedCertificateIsNamed() throws {
        let path = certificates.path("damaged.pem")
        let text = try #require(sentence("damaged.pem", "ecdsa.key", nil))
        #expect(text.hasPrefix("The certificate file \(path) holds a damaged certificate: "))
    }

    @Test func keyThatIsTooShortIsRefusedAtTheStart() throws {
        let text = try #require(sentence("weak.pem", "weak.key", nil))
        #expect(text.hasPrefix("The certificate in \(certificates.path("weak.pem")) is refused by the TLS library: "))
    }

    @Test func unusableTrustFileIsNamed() throws {
        var configuration = TLSConfiguration.client()
        configuration.trustFile = certificates.path("text.txt")
        let path = certificates.path("text.txt")
        #expect(throws: TLSError.configuration("The trust file \(path) holds no certificate in PEM form")) {
            try TLSContext(configuration: configuration)
        }
    }

    @Test func serverNeedsACertificate() throws {
        var configuration = try TLSConfiguration.server(.test("ecdsa"))
        configuration.identity = nil
        #expect(throws: TLSError.configuration("A TLS server needs a certificate")) {
            try TLSContext(configuration: configuration)
        }
    }

    private func context(_ certificate: String, _ key: String?, _ password: String?) throws(TLSError) -> TLSContext {
        try TLSContext(
            configuration: .server(
                .init(
                    certificateFile: certificates.path(certificate),
                    keyFile: key.map { certificates.path($0) },
                    keyPassword: password
                )
            )
        )
    }

    /// What refuses a certificate and key; nil: they are taken.
    private func sentence(_ certificate: String, _ key: String?, _ password: String?) -> String? {
        do throws(TLSError) {
            _ = try context(certificate, key, password)
            return nil
        } catch {
            guard case .configuration(let sentence) = error else { return "not a configuration error: \(error)" }
            return sentence
        }
    }
}
