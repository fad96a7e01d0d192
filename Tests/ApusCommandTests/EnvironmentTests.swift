import Apus
import Glibc
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
        (["--keep-alive", "7"], ("APUS_KEEP_ALIVE", "7"), "8"),
        (["--timeout-keep-alive", "7"], ("APUS_TIMEOUT_KEEP_ALIVE", "7"), "8"),
        (["--bind", "fd:5"], ("APUS_BIND", "fd://5"), "systemd"),
        (["--workers", "2"], ("APUS_WORKERS", "2"), "3"), (["-w", "auto"], ("APUS_WORKERS", "auto"), "64"),
        (["--user", "a"], ("APUS_USER", "a"), "b"), (["-u", "a"], ("APUS_USER", "a"), "b"),
        (["--group", "a"], ("APUS_GROUP", "a"), "b"), (["-g", "a"], ("APUS_GROUP", "a"), "b"),
        (["--pid", "/a"], ("APUS_PID", "/a"), "/b"), (["-p", "/a"], ("APUS_PID_FILE", "/a"), "/b"),
        (
            ["--ws-allowed-origin", "https://a.test", "--ws-allowed-origin", "http://b.test:8000"],
            ("APUS_WS_ALLOWED_ORIGIN", "https://a.test, http://b.test:8000"), "https://c.test"
        ),
    ]

    /// Without any; reading a command line takes its time.
    static let byDefault = try? summary([])

    @Test(arguments: table.indices)
    func `a variable does what its option does, and the option goes before it`(row: Int) throws {
        let (option, (name, value), other) = Self.table[row]
        let byOption = try summary(option)
        #expect(Self.byDefault != byOption)
        #expect(try summary([], [name: value]) == byOption)
        #expect(try summary(option, [name: other]) == byOption)
    }

    @Test(arguments: [
        (["--max-workers", "3"], ("APUS_MAX_WORKERS", "3")), (["--worker-timeout", "1"], ("APUS_WORKER_TIMEOUT", "1")),
        (["--max-requests", "1"], ("APUS_MAX_REQUESTS", "1")),
        (["--limit-max-requests", "1"], ("APUS_LIMIT_MAX_REQUESTS", "1")),
        (["--worker-max-age", "1"], ("APUS_WORKER_MAX_AGE", "1")),
        (["--workers-lifetime", "1"], ("APUS_WORKERS_LIFETIME", "1")),
        (["--worker-max-memory", "64"], ("APUS_WORKER_MAX_MEMORY", "64")),
        (["--workers-max-rss", "64"], ("APUS_WORKERS_MAX_RSS", "64")), (["--pin-workers"], ("APUS_PIN_WORKERS", "yes")),
        (["--status-socket", "/a"], ("APUS_STATUS_SOCKET", "/a")),
        (["--status-socket", "none"], ("APUS_STATUS_SOCKET", "none")),
    ])
    func `options of workers have their variables too`(option: [String], variable: (String, String)) throws {
        let workers = ["--workers", "2", "--max-workers", "2"]
        let byOption = try summary(workers + option)
        #expect(try summary(workers) != byOption)
        #expect(
            try summary(
                ["--workers", "2"] + (option[0] == "--max-workers" ? [] : ["--max-workers", "2"]),
                [
                    variable.0: variable.1
                ]
            ) == byOption
        )
    }

    @Test func `jitter has its variables too`() throws {
        let requests = ["--workers", "2", "--max-requests", "9"]
        for name in ["max-requests-jitter", "limit-max-requests-jitter"] {
            let variable = "APUS_" + name.uppercased().replacing("-", with: "_")
            #expect(try settings(requests + ["--\(name)", "5"]).supervisor.maxRequestsJitter == 5)
            #expect(try settings(requests, [variable: "5"]).supervisor.maxRequestsJitter == 5)
        }
    }

    @Test(arguments: [
        (["--unix-mode", "660"], ("APUS_UNIX_MODE", "0660"), ["--bind", "unix:/a"]),
        (["--uds-permissions", "0o660"], ("APUS_UDS_PERMISSIONS", "660"), ["--bind", "unix:/a"]),
        (["--unix-owner", "1:2"], ("APUS_UNIX_OWNER", "1:2"), ["--bind", "unix:/a"]),
        (["--quic-retry", "always"], ("APUS_QUIC_RETRY", "always"), ["--dev-cert"]),
    ])
    func `options that need a place have their variables too`(
        option: [String],
        variable: (String, String),
        place: [String]
    ) throws {
        let byOption = try summary(place + option)
        #expect(try summary(place) != byOption)
        #expect(try summary(place, [variable.0: variable.1]) == byOption)
    }

    @Test func `sockets that were passed are taken where no address is given`() throws {
        let passed = ["LISTEN_PID": String(getpid()), "LISTEN_FDS": "1"]
        #expect(try settings([], passed).configuration.binds == [.systemd(name: nil)])
        for (arguments, variables) in [(["--port", "1"], [:]), ([], ["APUS_BIND": "127.0.0.1:1"])] {
            let given = try settings(arguments, passed.merging(variables) { $1 })
            #expect(given.configuration.binds == [.address(host: "127.0.0.1", port: 1)])
        }
        let ofAnother = ["LISTEN_PID": "1", "LISTEN_FDS": "1"]
        #expect(try settings([], ofAnother).configuration.binds == settings([]).configuration.binds)
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
        #expect(try summary([], variables) == Self.byDefault)
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
