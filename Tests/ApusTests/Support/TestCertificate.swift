import Apus
import Foundation

/// A certificate for one run of the tests, made by the `openssl` tool in a temporary directory.
struct TestCertificate: Sendable {
    private static let made = Result { try TestCertificate() }

    let directory: String

    static func shared() throws -> Configuration.TLS {
        let certificate = try made.get()
        return Configuration.TLS(
            certificateFile: certificate.directory + "/cert.pem",
            keyFile: certificate.directory + "/key.pem"
        )
    }

    private init() throws {
        directory = NSTemporaryDirectory() + "apus-server-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
            "-keyout", directory + "/key.pem", "-out", directory + "/cert.pem",
        ]
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        // The key goes when the tests are over; there is no later moment to hang this on.
        atexit {
            guard let made = try? TestCertificate.made.get() else { return }
            try? FileManager.default.removeItem(atPath: made.directory)
        }
    }
}
