import Apus
import Testing

@testable import ApusCommand

/// The command line goes before the environment, and the environment before the defaults.
struct EnvironmentTests {
    /// Each option, the same as a variable, and a variable that says otherwise.
    static let table: [(option: [String], variable: (String, String), other: String)] = [
        (["--bind", "a.test:1"], ("APUS_BIND", "a.test:1"), "b.test:2"),
        (["--bind", "a.test:1", "--bind", "unix:/b"], ("APUS_BIND", "a.test:1, unix:/b"), "b.test:2"),
        (["--host", "a.test"], ("APUS_HOST", "a.test"), "b.test"),
        (["--port", "1"], ("APUS_PORT", "1"), "2"),
        (["--http", "1.1"], ("APUS_HTTP", "1.1"), "2"),
        (["--certfile", "c"], ("APUS_CERTFILE", "c"), "d"),
        (["--certfile", "c"], ("APUS_SSL_CERTFILE", "c"), "d"),
        (["--dev-cert"], ("APUS_DEV_CERT", "yes"), "no"),
        (["--selfcert"], ("APUS_SELFCERT", "1"), "0"),
        (["--alt-svc-port", "1"], ("APUS_ALT_SVC_PORT", "1"), "2"),
        (["--no-access-log"], ("APUS_ACCESS_LOG", "false"), "true"),
        (["--no-server-header"], ("APUS_SERVER_HEADER", "off"), "on"),
        (["--no-date-header"], ("APUS_DATE_HEADER", "No"), "Yes"),
        (["--log-level", "error"], ("APUS_LOG_LEVEL", "error"), "debug"),
        (["--graceful-timeout", "7"], ("APUS_GRACEFUL_TIMEOUT", "7"), "8"),
        (["--root-path", "/a"], ("APUS_ROOT_PATH", "/a"), "/b"),
        (["--no-ws"], ("APUS_WS", "no"), "yes"),
        (["--no-ws-per-message-deflate"], ("APUS_WS_PER_MESSAGE_DEFLATE", "0"), "1"),
        (["--ws-compression-memory", "0"], ("APUS_WS_COMPRESSION_MEMORY", "0"), "1"),
        (["--ws-max-size", "1"], ("APUS_WS_MAX_SIZE", "1"), "2"),
        (["--ws-max-frame-size", "1"], ("APUS_WS_MAX_FRAME_SIZE", "1"), "2"),
        (["--ws-max-fragments", "1"], ("APUS_WS_MAX_FRAGMENTS", "1"), "2"),
        (["--ws-max-queue", "1"], ("APUS_WS_MAX_QUEUE", "1"), "2"),
        (["--ws-max-connections", "1"], ("APUS_WS_MAX_CONNECTIONS", "1"), "2"),
        (["--ws-ping-interval", "1"], ("APUS_WS_PING_INTERVAL", "1"), "2"),
        (["--websocket-ping-interval", "0"], ("APUS_WEBSOCKET_PING_INTERVAL", "0"), "2"),
        (["--ws-ping-timeout", "0"], ("APUS_WS_PING_TIMEOUT", "0"), "2"),
        (["--ws-close-timeout", "0.5"], ("APUS_WS_CLOSE_TIMEOUT", "0.5"), "2"),
        (["--ws-idle-timeout", "1"], ("APUS_WS_IDLE_TIMEOUT", "1"), "2"),
        (["--ws-max-age", "1"], ("APUS_WS_MAX_AGE", "1"), "2"),
        (
            ["--ws-allowed-origin", "https://a.test", "--ws-allowed-origin", "http://b.test:8000"],
            ("APUS_WS_ALLOWED_ORIGIN", "https://a.test, http://b.test:8000"), "https://c.test"
        ),
    ]

    @Test(arguments: table.indices)
    func `a variable does what its option does, and the option goes before it`(row: Int) throws {
        let (option, (name, value), other) = Self.table[row]
        let byOption = try summary(option)
        #expect(try summary([]) != byOption)
        #expect(try summary([], [name: value]) == byOption)
        #expect(try summary(option, [name: other]) == byOption)
    }

    @Test(arguments: [
        (["--keyfile", "k"], ("APUS_KEYFILE", "k")), (["--keyfile", "k"], ("APUS_SSL_KEYFILE", "k")),
        (["--keyfile-password", "p"], ("APUS_KEYFILE_PASSWORD", "p")),
        (["--insecure-bind", "a.test:1"], ("APUS_INSECURE_BIND", "a.test:1")),
    ])
    func `options that need a certificate have their variables too`(
        option: [String],
        variable: (String, String)
    ) throws {
        let certificate = ["--certfile", "c"]
        let byOption = try summary(certificate + option)
        #expect(try summary(certificate) != byOption)
        #expect(try summary(certificate, [variable.0: variable.1]) == byOption)
    }

    @Test func `an empty variable is none`() throws {
        let variables = ["APUS_BIND": "", "APUS_CERTFILE": "", "APUS_PORT": "", "APUS_DEV_CERT": ""]
        #expect(try summary([], variables) == summary([]))
    }

    @Test func `host and port may come from different places`() throws {
        let binds = try settings(["--port", "9"], ["APUS_HOST": "a.test"]).configuration.binds
        #expect(binds == [.address(host: "a.test", port: 9)])
    }

    @Test func `an address on the command line goes before one in the environment, however it is written`() throws {
        let byBind = try settings(["--bind", "a.test:1"], ["APUS_HOST": "b.test", "APUS_PORT": "2"])
        #expect(byBind.configuration.binds == [.address(host: "a.test", port: 1)])
        let byPort = try settings(["--port", "1"], ["APUS_BIND": "b.test:2"])
        #expect(byPort.configuration.binds == [.address(host: "127.0.0.1", port: 1)])
    }

    @Test func `a certificate on the command line goes before one in the environment, of whatever kind`() throws {
        let file = try settings(["--certfile", "c"], ["APUS_DEV_CERT": "true"])
        #expect(file.configuration.tls?.certificateFile == "c")
        let variables = ["APUS_CERTFILE": "c", "APUS_KEYFILE": "k"]
        let development = try settings(["--dev-cert"], variables)
        #expect(development.configuration.tls?.keyFile == "dev-key")
    }
}
