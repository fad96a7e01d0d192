import ArgumentParser

/// The options of a server, as `apus serve` and every ``MainApplication`` have them.
///
/// Each can be given in the environment too, as `APUS_` and its name in capitals (`--log-level` is `APUS_LOG_LEVEL`; lists
/// are separated by commas). The command line goes before the environment, and the environment before the defaults.
///
/// To put them beside options of your own, make them an option group:
///
/// ```swift
/// @main
/// struct Shop: AsyncParsableCommand {
///     @Option var database: String
///     @OptionGroup var options: ServeOptions
///
///     func run() async throws {
///         try await options.serve(ShopApplication(database: database))
///     }
/// }
/// ```
public struct ServeOptions: ParsableArguments {
    @OptionGroup(title: "Where it listens") var listening: ListeningOptions
    @OptionGroup(title: "TLS") var tls: TLSOptions
    @OptionGroup(title: "How it answers") var answering: AnsweringOptions
    @OptionGroup(title: "WebSockets") var webSocket: WebSocketArguments
    @OptionGroup(title: "Workers") var workers: WorkerArguments
    @OptionGroup(title: "Logs and life") var running: RunningOptions
    @OptionGroup(title: "Process") var process: ProcessArguments

    public init() {}

    /// Whether everything is only to be looked at. An option and nothing else: it is asked once, and no setting.
    var isCheck: Bool { process.check }

    /// What a help page says about all of them.
    package static let discussion = """
        It listens on 127.0.0.1:8443 with a certificate, over TLS on TCP and HTTP/3 on UDP, and on 127.0.0.1:8000 in \
        plaintext without one. Each option can be set in the environment too: --log-level as APUS_LOG_LEVEL, lists \
        separated by commas. The command line goes before the environment.

        SIGINT and SIGTERM let requests finish first; a second one ends the process at once (exit code 130, 143), as \
        SIGQUIT does (131). With --workers, SIGHUP replaces them by new ones, SIGUSR2 by those of a new executable, and \
        SIGTTIN and SIGTTOU make one more and one fewer; without, SIGHUP reads the certificates again. Exit \
        codes: 0 stopped, 1 failed, 2 wrong options or a port in use, 3 the application could not start.
        """
}

/// Addresses and versions.
struct ListeningOptions: ParsableArguments {
    @Option(
        name: [.short, .long],
        help: ArgumentHelp("HOST:PORT, unix:PATH, fd:N, systemd; repeatable.", valueName: "address")
    )
    var bind: [String] = []

    @Option(help: ArgumentHelp("The host alone (default: 127.0.0.1).", valueName: "host"))
    var host: String?

    @Option(help: ArgumentHelp("The port alone (default: 8443, without TLS 8000).", valueName: "port"))
    var port: String?

    @Option(help: ArgumentHelp("For plaintext beside TLS; repeatable.", valueName: "address"))
    var insecureBind: [String] = []

    @Option(help: ArgumentHelp("Versions, of 1.1,2,3 (default: auto, all possible).", valueName: "list"))
    var http: String?

    @Option(help: ArgumentHelp("UDP port that Alt-Svc names (default: the bound one).", valueName: "port"))
    var altSvcPort: String?

    @Option(help: ArgumentHelp("Prove addresses: off, auto, always.", valueName: "when"))
    var quicRetry: String?

    @Option(
        name: [.long, .customLong("uds-permissions")],
        help: ArgumentHelp("Rights to unix sockets, such as 660.", valueName: "octal")
    )
    var unixMode: String?

    @Option(help: ArgumentHelp("Their owner, USER, USER:GROUP, :GROUP.", valueName: "owner"))
    var unixOwner: String?

    init() {}
}

/// Certificate and key.
struct TLSOptions: ParsableArguments {
    @Option(
        name: [.customLong("certfile"), .customLong("ssl-certfile")],
        help: ArgumentHelp("Certificate chain, PEM; turns TLS and HTTP/3 on.", valueName: "file")
    )
    var certificateFile: String?

    @Option(
        name: [.customLong("keyfile"), .customLong("ssl-keyfile")],
        help: ArgumentHelp("Its key, PEM (default: in the certificate's file).", valueName: "file")
    )
    var keyFile: String?

    @Option(
        name: [.customLong("keyfile-password"), .customLong("ssl-keyfile-password")],
        help: ArgumentHelp("The key's password; better in the environment.", valueName: "password")
    )
    var keyPassword: String?

    @Flag(
        name: [.customLong("dev-cert"), .customLong("selfcert")],
        help: "Use a certificate for localhost, made if need be."
    )
    var developmentCertificate = false

    init() {}
}

/// What responses say.
struct AnsweringOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Where the application is mounted (default: none).", valueName: "path"))
    var rootPath: String?

    @Flag(inversion: .prefixedNo, help: "Say 'server: apus' (default: yes).")
    var serverHeader: Bool?

    @Flag(inversion: .prefixedNo, help: "Say the date (default: yes).")
    var dateHeader: Bool?

    @Option(
        name: [.long, .customLong("timeout-keep-alive")],
        help: ArgumentHelp("Time to the next request (default: 75).", valueName: "seconds")
    )
    var keepAlive: String?

    init() {}
}

/// Logs, and the end.
struct RunningOptions: ParsableArguments {
    @Flag(inversion: .prefixedNo, help: "Log each request (default: yes).")
    var accessLog: Bool?

    @Option(help: ArgumentHelp("From trace to critical (default: info).", valueName: "level"))
    var logLevel: String?

    @Option(
        name: [.long, .customLong("timeout-graceful-shutdown")],
        help: ArgumentHelp("Time for requests to finish (default: 30).", valueName: "seconds")
    )
    var gracefulTimeout: String?

    init() {}
}
