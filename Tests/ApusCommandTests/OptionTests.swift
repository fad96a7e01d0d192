import Apus
import ApusTransport
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
        (["--bind", "fd:3", "--bind", "fd://4"], [.descriptor(3), .descriptor(4)]),
        (["--bind", "systemd", "--bind", "systemd:web"], [.systemd(name: nil), .systemd(name: "web")]),
        (["--bind", "unix:@apus"], [.unix(path: "@apus")]),
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

    // MARK: - Processes

    @Test func `without options there is one process with the rights that it has`() throws {
        let given = try settings([])
        #expect(given.supervisor == SupervisorSettings())
        #expect(given.supervisor.workers == nil)
        #expect(given.configuration.quicRetry == .automatic)
        #expect(given.configuration.unixSocket == Configuration.UnixSocket())
        #expect(try !ServeOptions.parse([]).isCheck)
        #expect(try ServeOptions.parse(["--check"]).isCheck)
    }

    @Test func `the options of workers reach the supervisor`() throws {
        let given = try settings([
            "--workers", "2", "--max-workers", "3", "--worker-timeout", "0.5", "--max-requests", "4",
            "--max-requests-jitter", "5", "--worker-max-age", "6.5", "--worker-max-memory", "64", "--pin-workers",
            "--user", "a", "--group", "b", "--pid-file", "/c", "--status-socket", "/d",
        ])
        var supervisor = SupervisorSettings()
        supervisor.workers = 2
        supervisor.maxWorkers = 3
        supervisor.workerTimeout = 0.5
        supervisor.maxRequests = 4
        supervisor.maxRequestsJitter = 5
        supervisor.maxAge = 6.5
        supervisor.maxMemory = 64 << 20
        supervisor.pinsWorkers = true
        supervisor.user = "a"
        supervisor.group = "b"
        supervisor.pidFile = "/c"
        supervisor.statusSocket = .path("/d")
        #expect(given.supervisor == supervisor)
    }

    @Test func `an end of 0 is none`() throws {
        let names = ["--max-requests", "--max-requests-jitter", "--worker-max-age", "--worker-max-memory"]
        let given = try settings(["--workers", "1", "--no-pin-workers"] + names.flatMap { [$0, "0"] })
        #expect(given.supervisor.maxRequests == nil && given.supervisor.maxRequestsJitter == 0)
        #expect(given.supervisor.maxAge == nil && given.supervisor.maxMemory == nil)
        #expect(!given.supervisor.pinsWorkers)
    }

    @Test func `there is room for a worker on each core, and at least for those there are`() throws {
        let cores = ProcessFacts.cores()
        #expect(try settings(["--workers", "auto"]).supervisor.workers == min(cores, 64))
        #expect(try settings(["--workers", "1"]).supervisor.maxWorkers == min(cores, 64))
        #expect(try settings(["--workers", "64"]).supervisor.maxWorkers == 64)
        let most = try settings(["--workers", "64", "--max-workers", "64"]).supervisor
        #expect(most.workers == 64 && most.maxWorkers == 64)
    }

    @Test(arguments: [("off", Configuration.QUICRetry.off), ("auto", .automatic), ("Always", .always)])
    func `addresses over QUIC are proved when that is asked for`(text: String, retry: Configuration.QUICRetry) throws {
        #expect(try settings(certificate + ["--quic-retry", text]).configuration.quicRetry == retry)
    }

    static let owners: [(String, Configuration.UnixSocket)] = [
        ("root", .init(owner: 0)), ("0:0", .init(owner: 0, group: 0)), (":root", .init(group: 0)),
        ("3999999:3999998", .init(owner: 3_999_999, group: 3_999_998)),
    ]

    @Test(arguments: owners)
    func `an owner of unix sockets is a user, a group or both`(text: String, access: Configuration.UnixSocket) throws {
        #expect(try settings(["--bind", "unix:/a", "--unix-owner", text]).configuration.unixSocket == access)
    }

    @Test(arguments: [("0", UInt32(0)), ("660", 0o660), ("0660", 0o660), ("0o600", 0o600), ("777", 0o777)])
    func `rights to unix sockets are octal`(text: String, mode: UInt32) throws {
        #expect(try settings(["--bind", "unix:/a", "--unix-mode", text]).configuration.unixSocket.mode == mode)
    }

    @Test func `the time to the next request is a bound of connections`() throws {
        #expect(try settings(["--keep-alive", "2.5"]).configuration.limits.keepAliveTimeout == 2.5)
        #expect(try settings([]).configuration.limits.keepAliveTimeout == Limits().keepAliveTimeout)
    }

    // MARK: - WebSockets

    @Test func `without options WebSockets are served within the usual bounds`() throws {
        #expect(try settings([]).configuration.webSocket == WebSocketOptions())
    }

    @Test func `the options of WebSockets reach the configuration`() throws {
        let given = try settings([
            "--no-ws", "--no-ws-per-message-deflate", "--ws-compression-memory", "1", "--ws-max-size", "2",
            "--ws-max-frame-size", "3", "--ws-max-fragments", "4", "--ws-max-queue", "5", "--ws-max-connections", "6",
            "--ws-ping-interval", "7", "--ws-ping-timeout", "8", "--ws-close-timeout", "9", "--ws-idle-timeout", "10",
            "--ws-max-age", "11.5", "--ws-allowed-origin", "https://a.test",
        ])
        var webSocket = WebSocketOptions()
        webSocket.isEnabled = false
        webSocket.perMessageDeflate = false
        webSocket.maxCompressionMemory = 1
        webSocket.maxMessageSize = 2
        webSocket.maxFrameSize = 3
        webSocket.maxFragments = 4
        webSocket.maxQueuedMessages = 5
        webSocket.maxConnections = 6
        webSocket.pingInterval = 7
        webSocket.pingTimeout = 8
        webSocket.closeTimeout = 9
        webSocket.idleTimeout = 10
        webSocket.maxAge = 11.5
        webSocket.allowedOrigins = ["https://a.test"]
        #expect(given.configuration.webSocket == webSocket)
        #expect(try settings(["--ws", "--ws-per-message-deflate"]).configuration.webSocket == WebSocketOptions())
    }

    @Test func `a time of 0 is none`() throws {
        let names = ["--ws-ping-interval", "--ws-ping-timeout", "--ws-idle-timeout", "--ws-max-age"]
        let webSocket = try settings(names.flatMap { [$0, "0"] }).configuration.webSocket
        #expect(webSocket.pingInterval == nil && webSocket.pingTimeout == nil)
        #expect(webSocket.idleTimeout == nil && webSocket.maxAge == nil)
        #expect(try settings(["--ws-close-timeout", "0"]).configuration.webSocket.closeTimeout == 0)
    }

    @Test func `who allows larger messages allows them in one frame`() throws {
        let larger = try settings(["--ws-max-size", "99999999"]).configuration.webSocket
        #expect(larger.maxMessageSize == 99_999_999 && larger.maxFrameSize == 99_999_999)
        let framed = try settings(["--ws-max-size", "99999999", "--ws-max-frame-size", "1"]).configuration.webSocket
        #expect(framed.maxMessageSize == 99_999_999 && framed.maxFrameSize == 1)
    }

    @Test(arguments: [
        ("https://a.test", "https://a.test"), ("HTTPS://A.Test", "https://a.test"),
        ("https://a.test:443", "https://a.test"), ("http://a.test:80", "http://a.test"),
        ("http://a.test:443", "http://a.test:443"), ("https://a.test:0443", "https://a.test"),
        ("https://a_b-1.xn--tst-qla:8443", "https://a_b-1.xn--tst-qla:8443"), ("http://[::1]", "http://[::1]"),
        ("http://[::1]:80", "http://[::1]"), ("https://[::1]:8443", "https://[::1]:8443"),
        ("http://127.0.0.1:1", "http://127.0.0.1:1"), ("app+x://a", "app+x://a"),
    ])
    func `origins are kept as browsers write them`(given: String, kept: String) throws {
        #expect(try settings(["--ws-allowed-origin", given]).configuration.webSocket.allowedOrigins == [kept])
    }
}
