import Apus
import ArgumentParser
import Logging
import Testing

@testable import ApusCommand

/// Reads a command line and variables; a certificate for development has its own file names.
func settings(_ arguments: [String], _ variables: [String: String] = [:]) throws -> ServerSettings {
    try ServeOptions.parse(arguments)
        .settings(environment: ApusEnvironment(variables)) { () throws(ConfigurationError) in
            Configuration.TLS(certificateFile: "dev-cert", keyFile: "dev-key")
        }
}

/// All settings as text; a set has no order of its own.
func summary(_ arguments: [String], _ variables: [String: String] = [:]) throws -> String {
    var given = try settings(arguments, variables)
    let versions = given.configuration.protocols.map(\.rawValue).sorted()
    given.configuration.protocols = []
    return "\(versions) \(given)"
}

/// Options and variables become a configuration.
struct OptionTests {
    private let certificate = ["--certfile", "cert.pem"]

    @Test func `without options it listens on loopback in plaintext`() throws {
        let given = try settings([])
        #expect(given.configuration.binds == [.address(host: "127.0.0.1", port: 8000)])
        #expect(given.configuration.insecureBinds.isEmpty)
        #expect(given.configuration.tls == nil)
        #expect(given.configuration.protocols == Set(Configuration.HTTPProtocol.allCases))
        #expect(given.configuration.accessLog && given.configuration.serverHeader && given.configuration.dateHeader)
        #expect(given.configuration.gracefulTimeout == 30)
        #expect(given.configuration.rootPath.isEmpty)
        #expect(given.configuration.altSvcPort == nil)
        #expect(given.logLevel == .info)
    }

    @Test func `with a certificate it listens on another port`() throws {
        let configuration = try settings(certificate).configuration
        #expect(configuration.binds == [.address(host: "127.0.0.1", port: 8443)])
        #expect(configuration.tls?.certificateFile == "cert.pem")
        #expect(configuration.tls?.keyFile == "cert.pem")
        #expect(configuration.tls?.keyPassword == nil)
    }

    @Test func `the spellings of the peers mean the same`() throws {
        let arguments = ["--ssl-certfile", "c", "--ssl-keyfile", "k", "--ssl-keyfile-password", "p"]
        let tls = try #require(try settings(arguments).configuration.tls)
        #expect(tls.certificateFile == "c" && tls.keyFile == "k" && tls.keyPassword == "p")
        let graceful = try settings(["--timeout-graceful-shutdown", "5"]).configuration.gracefulTimeout
        #expect(graceful == 5)
        for flag in ["--dev-cert", "--selfcert"] {
            #expect(try settings([flag]).configuration.tls?.keyFile == "dev-key")
        }
    }

    static let addresses: [([String], [Bind])] = [
        (["-b", "0.0.0.0:80"], [.address(host: "0.0.0.0", port: 80)]),
        (["--bind", "[::1]:0", "--bind", "unix:/run/a"], [.address(host: "::1", port: 0), .unix(path: "/run/a")]),
        (["--bind", ":9000"], [.address(host: "::", port: 9000)]),
        (["--bind", "example.test"], [.address(host: "example.test", port: 8000)]),
        (["--host", "::1"], [.address(host: "::1", port: 8000)]),
        (["--host", "[::1]", "--port", "65535"], [.address(host: "::1", port: 65535)]),
        (["--port", "0"], [.address(host: "127.0.0.1", port: 0)]),
    ]

    @Test(arguments: addresses)
    func `addresses are written in several ways`(arguments: [String], binds: [Bind]) throws {
        #expect(try settings(arguments).configuration.binds == binds)
    }

    @Test func `plaintext beside TLS has its own addresses`() throws {
        let arguments = certificate + ["--insecure-bind", "[::1]:80", "--insecure-bind", "a.test"]
        let configuration = try settings(arguments).configuration
        #expect(configuration.insecureBinds == [.address(host: "::1", port: 80), .address(host: "a.test", port: 8000)])
        #expect(configuration.binds == [.address(host: "127.0.0.1", port: 8443)])
    }

    static let versions: [(String, Set<Configuration.HTTPProtocol>)] = [
        ("1.1,2,3", [.http1, .http2, .http3]), ("auto", [.http1, .http2, .http3]), ("1", [.http1]), ("h1", [.http1]),
        ("h2", [.http2]), ("2, 3", [.http2, .http3]), ("H3", [.http3]), ("http/1.1,http/2", [.http1, .http2]),
    ]

    @Test(arguments: versions)
    func `versions are listed in several spellings`(list: String, versions: Set<Configuration.HTTPProtocol>) throws {
        #expect(try settings(certificate + ["--http", list]).configuration.protocols == versions)
    }

    @Test func `the other options reach the configuration`() throws {
        let given = try settings([
            "--no-access-log", "--no-server-header", "--no-date-header", "--log-level", "DEBUG", "--graceful-timeout",
            "0.5", "--root-path", "/api/", "--alt-svc-port", "443",
        ])
        #expect(!given.configuration.accessLog)
        #expect(!given.configuration.serverHeader)
        #expect(!given.configuration.dateHeader)
        #expect(given.logLevel == .debug)
        #expect(given.configuration.gracefulTimeout == 0.5)
        #expect(given.configuration.rootPath == "/api")
        #expect(given.configuration.altSvcPort == 443)
    }
}
