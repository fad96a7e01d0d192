import Apus
import ApusGateway
import Foundation
import Testing

@Suite("Reading the certificate again", .timeLimit(.minutes(5)))
struct CertificateReloadTests {
    /// Answers `/slow` when the gate opens, anything else at once.
    private struct Slow: Sendable {
        let entered = Gate()
        let gate = Gate()

        var application: TestApplication {
            { [self] scope, _, send in
                guard case .http(let request) = scope else { return }
                if request.path == "/slow" {
                    entered.open()
                    await gate.wait()
                }
                try await pong(send)
            }
        }
    }

    /// Whether a new connection over TCP is shown this certificate.
    private func shows(_ certificate: TestCertificate, _ fixture: ServerFixture) async throws -> Bool {
        let trusting = ["--no-insecure", "--cacert", certificate.files.certificateFile]
        let result = try await runCurl(trusting + ["https://127.0.0.1:\(fixture.port)/"])
        // 60: the certificate leads to no root that is trusted.
        #expect(result.exitCode == 0 || result.exitCode == 60)
        return result.exitCode == 0
    }

    @Test("New connections see the new certificate, open ones live on", arguments: [1, 3])
    func reload(_ loops: Int) async throws {
        let served = try TestCertificate()
        let old = try TestCertificate(copying: served)
        let new = try TestCertificate()
        let slow = Slow()
        try await withServer(
            {
                $0.loops = loops
                $0.tls = served.files
            },
            application: slow.application
        ) { fixture in
            let client = try HTTP3TestClient(port: fixture.port)
            #expect(try await client.get().body == "pong")
            async let running = fixture.curl("--http2", target: "/slow")
            await slow.entered.wait()
            #expect(try await shows(old, fixture))

            try served.replace(with: new)
            #expect(try await shows(old, fixture))
            try fixture.server.reloadCertificates()
            for _ in 0..<8 {
                #expect(try await shows(new, fixture))
                #expect(try await !shows(old, fixture))
                let newcomer = try HTTP3TestClient(port: fixture.port)
                #expect(try await newcomer.get().body == "pong")
                #expect(newcomer.certificate != client.certificate)
            }
            #expect(try await client.get().body == "pong")
            slow.gate.open()
            #expect(try await running.text == "pong")
        }
    }

    @Test func `a certificate that cannot be used leaves the old one`() async throws {
        let served = try TestCertificate()
        let old = try TestCertificate(copying: served)
        try await withServer({ $0.tls = served.files }, application: Slow().application) { fixture in
            let client = try HTTP3TestClient(port: fixture.port)
            #expect(try await client.get().body == "pong")
            try "no certificate".write(toFile: served.files.certificateFile, atomically: true, encoding: .utf8)
            let error = #expect(throws: ConfigurationError.self) { try fixture.server.reloadCertificates() }
            #expect(error?.option == "--certfile")
            #expect(try await shows(old, fixture))
            let newcomer = try HTTP3TestClient(port: fixture.port)
            #expect(try await newcomer.get().body == "pong")
            #expect(newcomer.certificate == client.certificate)
        }
    }

    @Test func `there may be nothing to read again`() async throws {
        try await withServer(application: Slow().application) { fixture in
            try fixture.server.reloadCertificates()
            #expect(try await fixture.get().body == "pong")
        }
        let server = Server({ $0.tls = try? TestCertificate.shared() }, application: Slow().application)
        try server.reloadCertificates()
    }
}
