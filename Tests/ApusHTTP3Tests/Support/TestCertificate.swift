import ApusHTTP3
import Glibc

/// A certificate and its key, made with the openssl tool in a folder of their own.
struct TestCertificate {
    let folder: String
    var certificateFile: String { folder + "/cert.pem" }
    var keyFile: String { folder + "/key.pem" }

    /// One for all tests of the process.
    static let shared = TestCertificate()

    init(extraKeyArguments: String = "-nodes") {
        var template = Array("/tmp/apus-http3-tests-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { preconditionFailure("a temporary folder can be made") }
        folder = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let command =
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 \(extraKeyArguments) -days 30"
            + " -subj /CN=localhost -addext subjectAltName=DNS:localhost"
            + " -keyout \(keyFile) -out \(certificateFile) 2>/dev/null"
        precondition(system(command) == 0, "the openssl tool makes a certificate")
    }

    func credentials(password: String? = nil, ticketKey: [UInt8]? = nil) throws -> QUICServerCredentials {
        try QUICServerCredentials(
            certificateFile: certificateFile,
            keyFile: keyFile,
            password: password,
            ticketKey: ticketKey
        )
    }
}
