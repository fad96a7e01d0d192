import Apus
import Foundation
import Testing

@testable import ApusCommand

struct DevelopmentCertificateTests {
    private static let hasOpenSSL = Program.run(["openssl", "version"]) == .exited(0)

    /// A directory of its own, gone after `body`.
    private func inDirectory(_ body: (String) throws -> Void) throws {
        let path = NSTemporaryDirectory() + "apus-cert-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: path) }
        try body(path)
    }

    @Test(.enabled(if: hasOpenSSL)) func `a certificate is made once, and its key is for the owner alone`() throws {
        try inDirectory { directory in
            let first = try DevelopmentCertificate.prepare(in: directory)
            let certificate = try #require(FileManager.default.contents(atPath: first.certificateFile))
            #expect(String(decoding: certificate, as: UTF8.self).contains("BEGIN CERTIFICATE"))
            let key = try FileManager.default.attributesOfItem(atPath: first.keyFile)
            #expect(key[.posixPermissions] as? Int == 0o600)
            #expect(try FileManager.default.contentsOfDirectory(atPath: directory).sorted() == ["cert.pem", "key.pem"])
            _ = try DevelopmentCertificate.prepare(in: directory)
            #expect(FileManager.default.contents(atPath: first.certificateFile) == certificate)
        }
    }

    @Test(.enabled(if: hasOpenSSL)) func `a certificate that cannot be used is made anew`() throws {
        try inDirectory { directory in
            for name in ["/cert.pem", "/key.pem"] { try Data().write(to: URL(fileURLWithPath: directory + name)) }
            let made = try DevelopmentCertificate.prepare(in: directory)
            #expect(try Data(contentsOf: URL(fileURLWithPath: made.certificateFile)).count > 0)
        }
    }

    @Test(.enabled(if: hasOpenSSL)) func `a directory that cannot be written to is named`() {
        let error = #expect(throws: ConfigurationError.self) {
            try DevelopmentCertificate.prepare(in: "/proc/none")
        }
        #expect(error?.option == "--dev-cert")
        #expect(error?.message.contains("/proc/none/cert.pem") == true)
    }

    @Test func `a program that is not there is told from one that fails`() {
        #expect(Program.run(["apus-has-no-such-program"]) == .notFound)
        #expect(Program.run(["false"]) == .exited(1))
        #expect(Program.run(["true"]) == .exited(0))
    }
}
