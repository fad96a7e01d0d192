import Apus
import ApusTransport
import ArgumentParser
import Glibc
import Testing

@testable import ApusCommand

/// What cannot be is said in one sentence that names the option or variable.
struct RefusalTests {
    static let options: [([String], String)] = [
        (["--bind", "a:b:c"], "--bind: 'a:b:c' is not HOST:PORT, [IPv6]:PORT, unix:PATH, fd:N or systemd"),
        (["--bind", "fd:"], "--bind: '' is not the number of a descriptor"),
        (["--bind", "fd:x"], "--bind: 'x' is not the number of a descriptor"),
        (["--bind", "fd://-1"], "--bind: '-1' is not the number of a descriptor"),
        (["--bind", "unix:"], "--bind: a unix socket's path has 1 to 107 bytes, not ''"),
        (["--bind", "unix:@"], "--bind: a unix socket's path has 1 to 107 bytes, not '@'"),
        (["--bind", "a:65536"], "--bind: '65536' is not a port from 0 to 65535"),
        (["--port", "65536"], "--port: '65536' is not a port from 0 to 65535"),
        (["--port=-1"], "--port: '-1' is not a port from 0 to 65535"),
        (["--port", "http"], "--port: 'http' is not a port from 0 to 65535"),
        (["--host", ""], "--host: '' is not a host name or address"),
        (["--host", "[::1"], "--host: '[::1' is not a host name or address"),
        (["--bind", "a:1", "--host", "b"], "--host: cannot be combined with --bind"),
        (["--bind", "a:1", "--port", "2"], "--port: cannot be combined with --bind"),
        (["--alt-svc-port", "0"], "--alt-svc-port: '0' is not a port from 1 to 65535"),
        (["--http", "3"], "--http: HTTP/3 needs a certificate: give --certfile and --keyfile, or --dev-cert"),
        (["--http", "1.1,2,3"], "--http: HTTP/3 needs a certificate: give --certfile and --keyfile, or --dev-cert"),
        (["--http", "4"], "--http: '4' is not a version of HTTP: 1.1, 2 or 3"),
        (["--http", ""], "--http: '' is not a version of HTTP: 1.1, 2 or 3"),
        (["--http", "2,"], "--http: '' is not a version of HTTP: 1.1, 2 or 3"),
        (
            ["--http", "3", "--dev-cert", "--bind", "unix:/a"],
            "--http: HTTP/3 alone leaves nothing to speak on unix:/a"
        ),
        (
            ["--http", "3", "--dev-cert", "--insecure-bind", "a:1"],
            "--http: HTTP/3 alone leaves nothing to speak on a:1"
        ),
        (
            ["--insecure-bind", "a:1"],
            "--insecure-bind: is for plaintext beside TLS, and there is no certificate; --bind is plaintext then"
        ),
        (["--keyfile", "k"], "--keyfile: there is no --certfile that it belongs to"),
        (["--keyfile-password", "p"], "--keyfile-password: there is no --certfile that it belongs to"),
        (["--dev-cert", "--certfile", "c"], "--dev-cert: cannot be combined with --certfile"),
        (["--dev-cert", "--keyfile", "k"], "--keyfile: goes with --certfile, not with --dev-cert"),
        (
            ["--log-level", "loud"],
            "--log-level: 'loud' is not a log level: trace, debug, info, notice, warning, error, critical"
        ),
        (["--graceful-timeout=-1"], "--graceful-timeout: '-1' is not a number of seconds"),
        (["--graceful-timeout", "inf"], "--graceful-timeout: 'inf' is not a number of seconds"),
        (["--root-path", "api"], "--root-path: 'api' does not begin with a '/'"),
        (["--keep-alive=-1"], "--keep-alive: '-1' is not a number of seconds"),
        (["--timeout-keep-alive", "x"], "--keep-alive: 'x' is not a number of seconds"),
        (["--workers", "0"], "--workers: '0' is neither auto nor a number from 1 to 64"),
        (["--workers", "65"], "--workers: '65' is neither auto nor a number from 1 to 64"),
        (["--workers", "many"], "--workers: 'many' is neither auto nor a number from 1 to 64"),
        (["--workers", "2", "--max-workers", "1"], "--max-workers: 1 is less than the 2 of --workers"),
        (["--workers", "2", "--max-workers", "65"], "--max-workers: '65' is not a number from 1 to 64"),
        (["--workers", "2", "--max-workers", "x"], "--max-workers: 'x' is not a number from 1 to 64"),
        (["--workers", "2", "--worker-timeout", "0"], "--worker-timeout: no worker answers within no time"),
        (["--workers", "2", "--worker-timeout", "x"], "--worker-timeout: 'x' is not a number of seconds"),
        (["--workers", "2", "--max-requests=-1"], "--max-requests: '-1' is not a number from 0 on"),
        (
            ["--workers", "2", "--max-requests-jitter", "1"],
            "--max-requests-jitter: there is no --max-requests that it belongs to"
        ),
        (
            ["--workers", "2", "--max-requests", "0", "--limit-max-requests-jitter", "1"],
            "--max-requests-jitter: there is no --max-requests that it belongs to"
        ),
        (["--workers", "2", "--worker-max-age=-1"], "--worker-max-age: '-1' is not a number of seconds"),
        (["--workers", "2", "--worker-max-memory", "1G"], "--worker-max-memory: '1G' is not a number from 0 on"),
        (
            ["--workers", "2", "--worker-max-memory", "63"],
            "--worker-max-memory: '63' is too little: a worker needs up to 64 MiB for itself"
        ),
        (
            ["--workers", "2", "--workers-max-rss", "9223372036854775807"],
            "--worker-max-memory: '9223372036854775807' MiB are more than there can be"
        ),
        (
            ["--workers", "2", "--status-socket", ""],
            "--status-socket: a unix socket's path has 1 to 107 bytes, not ''"
        ),
        (["--workers", "2", "--status-socket", "@a"], "--status-socket: '@a' is not the path of a file"),
        (["--pid", ""], "--pid: '' is not the path of a file"),
        (["--quic-retry", "sometimes"], "--quic-retry: 'sometimes' is not off, auto or always"),
        (["--quic-retry", "always"], noQUIC), (["--quic-retry", "off", "--dev-cert", "--http", "2"], noQUIC),
        (["--bind", "unix:/a", "--unix-mode", "888"], "--unix-mode: '888' is not a mode in octal such as 660"),
        (["--bind", "unix:/a", "--unix-mode", "1777"], "--unix-mode: '1777' is not a mode in octal such as 660"),
        (["--bind", "unix:/a", "--uds-permissions", ""], "--unix-mode: '' is not a mode in octal such as 660"),
        (["--bind", "unix:/a", "--unix-mode=-7"], "--unix-mode: '-7' is not a mode in octal such as 660"),
        (["--bind", "unix:/a", "--unix-owner", "no one"], "--unix-owner: there is no user 'no one'"),
        (["--bind", "unix:/a", "--unix-owner", ":no one"], "--unix-owner: there is no group 'no one'"),
        (["--bind", "unix:/a", "--unix-owner", "root:"], "--unix-owner: there is no group ''"),
        (["--bind", "unix:/a", "--unix-owner", ""], "--unix-owner: there is no user ''"),
        (["--unix-mode", "660"], "--unix-mode: there is no --bind unix:PATH that it is for"),
        (
            ["--bind", "unix:@a", "--unix-owner", "root"],
            "--unix-owner: there is no --bind unix:PATH that it is for"
        ),
        (["--ws-max-size", "0"], "--ws-max-size: '0' is not a number from 1 on"),
        (["--ws-max-size", "16M"], "--ws-max-size: '16M' is not a number from 1 on"),
        (["--ws-max-frame-size", "0"], "--ws-max-frame-size: '0' is not a number from 1 on"),
        (["--ws-max-fragments", "0"], "--ws-max-fragments: '0' is not a number from 1 on"),
        (["--ws-max-queue", "0"], "--ws-max-queue: '0' is not a number from 1 on"),
        (["--ws-max-connections", "0"], "--ws-max-connections: '0' is not a number from 1 on"),
        (["--ws-compression-memory=-1"], "--ws-compression-memory: '-1' is not a number from 0 on"),
        (["--ws-ping-interval=-1"], "--ws-ping-interval: '-1' is not a number of seconds"),
        (["--websocket-ping-interval", "x"], "--ws-ping-interval: 'x' is not a number of seconds"),
        (["--ws-ping-timeout", "nan"], "--ws-ping-timeout: 'nan' is not a number of seconds"),
        (["--ws-close-timeout", "inf"], "--ws-close-timeout: 'inf' is not a number of seconds"),
        (["--ws-idle-timeout", ""], "--ws-idle-timeout: '' is not a number of seconds"),
        (["--ws-max-age", "1h"], "--ws-max-age: '1h' is not a number of seconds"),
        (
            ["--ws-allowed-origin", "https://a.test", "--ws-allowed-origin", "b.test"],
            "--ws-allowed-origin: 'b.test' is not an origin such as https://example.org"
        ),
    ]

    static let variables: [([String: String], String)] = [
        (["APUS_BIND": "a:b:c"], "APUS_BIND: 'a:b:c' is not HOST:PORT, [IPv6]:PORT, unix:PATH, fd:N or systemd"),
        (["APUS_PORT": "x"], "APUS_PORT: 'x' is not a port from 0 to 65535"),
        (["APUS_BIND": "a:1", "APUS_PORT": "2"], "APUS_PORT: cannot be combined with APUS_BIND"),
        (["APUS_ACCESS_LOG": "maybe"], "APUS_ACCESS_LOG: 'maybe' is neither true nor false"),
        (["APUS_HTTP": "3"], "APUS_HTTP: HTTP/3 needs a certificate: give --certfile and --keyfile, or --dev-cert"),
        (["APUS_DEV_CERT": "1", "APUS_CERTFILE": "c"], "APUS_DEV_CERT: cannot be combined with APUS_CERTFILE"),
        (["APUS_SSL_KEYFILE": "k"], "APUS_SSL_KEYFILE: there is no --certfile that it belongs to"),
        (["APUS_WS": "wsproto"], "APUS_WS: 'wsproto' is neither true nor false"),
        (["APUS_WS_MAX_SIZE": "-1"], "APUS_WS_MAX_SIZE: '-1' is not a number from 1 on"),
        (
            ["APUS_WS_ALLOWED_ORIGIN": "https://a.test,*"],
            "APUS_WS_ALLOWED_ORIGIN: '*' is not an origin such as https://example.org"
        ),
    ]

    private static let noQUIC =
        "--quic-retry: is for HTTP/3, which is not served without a certificate or where --http leaves it out"

    @Test(arguments: [
        ["--max-workers", "2"], ["--worker-timeout", "1"], ["--max-requests", "1"], ["--max-requests-jitter", "1"],
        ["--worker-max-age", "1"], ["--worker-max-memory", "1"], ["--pin-workers"], ["--status-socket", "none"],
    ])
    func `what is for workers is refused without them`(arguments: [String]) {
        let error = #expect(throws: ConfigurationError.self) { try settings(arguments) }
        #expect(error?.description == "\(arguments[0]): is for workers, and there are none without --workers")
    }

    @Test(arguments: options)
    func `an option that cannot be is refused by its name`(arguments: [String], sentence: String) {
        let error = #expect(throws: ConfigurationError.self) { try settings(arguments) }
        #expect(error?.description == sentence)
    }

    @Test(arguments: [
        (["--user", "no one"], "--user: there is no user 'no one'"),
        (["--group", "no one"], "--group: there is no group 'no one'"),
        (["--user", "root", "--group", "no one"], "--group: there is no group 'no one'"),
        (
            ["--user", "3999999"],
            "--user: user 3999999 has no entry that would tell its group; give the group too"
        ),
    ])
    func `an account that cannot be is refused by its name`(arguments: [String], sentence: String) throws {
        let supervisor = try settings(arguments).supervisor
        let error = #expect(throws: ConfigurationError.self) { try supervisor.account() }
        #expect(error?.description == sentence)
    }

    @Test func `only root may become somebody else`() async {
        await #expect(processExitsWith: .success) {
            let nobody = try Account(user: "nobody", group: nil)
            if nobody.canBeAssumed { try nobody.assume() }
            for (arguments, option) in [(["--user", "daemon"], "--user"), (["--group", "daemon"], "--group")] {
                let supervisor = try settings(arguments).supervisor
                let error = #expect(throws: ConfigurationError.self) { try supervisor.account() }
                #expect(error?.description == "\(option): only root can become somebody else")
            }
            // Who has an account already may name it.
            let own = try settings(["--user", String(geteuid())]).supervisor.account()
            #expect(own?.isCurrent == true)
        }
    }

    @Test(arguments: variables)
    func `a variable that cannot be is refused by its name`(variables: [String: String], sentence: String) {
        let error = #expect(throws: ConfigurationError.self) { try settings([], variables) }
        #expect(error?.description == sentence)
    }

    @Test(arguments: [
        "", "*", "null", "a.test", "//a.test", "://a.test", "https:a.test", "https://", "https://a.test/",
        "https://a.test/path", "https://a.test?", "https://a.test#", "https://user@a.test", "https://a.test:",
        "https://a.test:0", "https://a.test:65536", "https://a.test:+1", "https://a.test:x", "https://a.test:1:2",
        "https://*.a.test", "https://ä.test", "https://a test", "https://[]", "https://[::1", "https://[::1]x",
        "https://[a.test]", "1http://a.test", "h_p://a.test",
    ])
    func `what is no origin is refused`(text: String) {
        let error = #expect(throws: ConfigurationError.self) { try settings(["--ws-allowed-origin", text]) }
        #expect(error?.option == "--ws-allowed-origin")
    }

    @Test func `no certificate is made for settings that are refused`() throws {
        let options = try ServeOptions.parse(["--dev-cert", "--port", "x"])
        #expect(throws: ConfigurationError.self) {
            try options.settings(environment: ApusEnvironment([:])) { () throws(ConfigurationError) in
                Issue.record("a certificate was made")
                return Configuration.TLS(certificateFile: "", keyFile: "")
            }
        }
    }

    @Test(arguments: [
        (["--bogus"], Int32(2), "Error: Unknown option '--bogus'"),
        (["stray"], 2, "Error: Unexpected argument 'stray'"),
        (["--port"], 2, "Error: Missing value for '--port"), (["--help"], 0, "OVERVIEW: "), (["--version"], 0, "Apus "),
    ])
    func `a command line that ends the program has its text and its code`(
        arguments: [String],
        code: Int32,
        beginning: String
    ) {
        let end = #expect(throws: CommandLineEnd.self) { try MainCommand.parsed(arguments, as: MainCommand.self) }
        #expect(end?.code == code)
        #expect(end?.text.hasPrefix(beginning) == true)
    }

    @Test func `help has one line for each option`() {
        let end = #expect(throws: CommandLineEnd.self) { try MainCommand.parsed(["--help"], as: MainCommand.self) }
        let help = end?.text ?? ""
        for title in [
            "WHERE IT LISTENS:", "TLS:", "HOW IT ANSWERS:", "WEBSOCKETS:", "WORKERS:", "LOGS AND LIFE:", "PROCESS:",
        ] {
            #expect(help.contains(title))
        }
        // A text that goes on is indented alone, without an option on the line before.
        let lines = help.split(separator: "\n")
        let texts = lines.filter { $0.hasPrefix(String(repeating: " ", count: 26)) }
        let optionsAlone = lines.filter { $0.hasPrefix("  -") && !$0.dropFirst(2).contains("  ") }
        #expect(texts.count == optionsAlone.count)
    }

    @Test func `exit codes tell what went wrong`() {
        #expect(ServeOptions.exitStatus(for: ConfigurationError(option: "--port", "x")) == 2)
        #expect(ServeOptions.exitStatus(for: CancellationError()) == 1)
    }
}
