import Apus
import Foundation

/// A certificate, made by the `openssl` tool in a temporary directory that goes when the tests are over.
struct TestCertificate: Sendable {
    private static let made = Result { try TestCertificate() }

    let directory: String

    /// The one that most tests use.
    static func shared() throws -> Configuration.TLS {
        try made.get().files
    }

    var files: Configuration.TLS {
        Configuration.TLS(certificateFile: directory + "/cert.pem", keyFile: directory + "/key.pem")
    }

    /// A copy that stays as it is.
    init(copying other: TestCertificate) throws {
        directory = Self.root + "/\(UUID().uuidString)"
        try FileManager.default.copyItem(atPath: other.directory, toPath: directory)
    }

    /// Puts another certificate in the place of this one.
    func replace(with other: TestCertificate) throws {
        for (to, from) in [
            (files.keyFile, other.files.keyFile), (files.certificateFile, other.files.certificateFile),
        ] {
            try Data(contentsOf: URL(filePath: from)).write(to: URL(filePath: to))
        }
    }

    /// Keys go when the tests are over; there is no later moment to hang this on.
    private static let root: String = {
        atexit { try? FileManager.default.removeItem(atPath: TestCertificate.root) }
        let root = NSTemporaryDirectory() + "apus-server-\(UUID().uuidString)"
        try? FileManager.default.createDirectory(atPath: root, withIntermediateDirectories: true)
        return root
    }()

    init() throws {
        directory = Self.root + "/\(UUID().uuidString)"
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
    }
}
