import Apus

/// The settings that were given, each from the command line or, where it is not there, from the environment.
struct GivenSettings {
    let options: ServeOptions
    private let environment: ApusEnvironment

    init(options: ServeOptions, environment: ApusEnvironment) {
        self.options = options
        self.environment = environment
    }

    /// Where the certificate comes from.
    enum Certificate: Equatable {
        case none
        case files(certificate: String, key: String, password: String?)
        case development
    }

    // MARK: - Settings by themselves

    var rootPath: Setting? { setting(options.answering.rootPath, "root-path") }
    var serverHeader: Setting? { setting(options.answering.serverHeader, "server-header") }
    var dateHeader: Setting? { setting(options.answering.dateHeader, "date-header") }
    var accessLog: Setting? { setting(options.running.accessLog, "access-log") }
    var logLevel: Setting? { setting(options.running.logLevel, "log-level") }
    var altSvcPort: Setting? { setting(options.listening.altSvcPort, "alt-svc-port") }
    var keepAlive: Setting? { setting(options.answering.keepAlive, "keep-alive", "timeout-keep-alive") }

    var gracefulTimeout: Setting? {
        setting(options.running.gracefulTimeout, "graceful-timeout", "timeout-graceful-shutdown")
    }

    // MARK: - Settings that go together

    func certificate() throws(ConfigurationError) -> Certificate {
        let file = setting(options.tls.certificateFile, "certfile", "ssl-certfile")
        let key = setting(options.tls.keyFile, "keyfile", "ssl-keyfile")
        let password = setting(options.tls.keyPassword, "keyfile-password", "ssl-keyfile-password")
        if let development = try developmentCertificate(beside: file) {
            // Where one was meant for the other, it would be left out without a word.
            if let key, key.isOption == development.isOption {
                throw key.error("goes with --certfile, not with \(development.source)")
            }
            return .development
        }
        guard let file else {
            if let stray = key ?? password { throw stray.error("there is no --certfile that it belongs to") }
            return .none
        }
        return .files(certificate: file.text, key: key?.text ?? file.text, password: password?.text)
    }

    /// The wish for a development certificate; nil where there is none, or where a file on the command line goes before
    /// one from the environment.
    private func developmentCertificate(beside file: Setting?) throws(ConfigurationError) -> Setting? {
        let wish = setting(options.tls.developmentCertificate ? true : nil, "dev-cert", "selfcert")
        guard let wish, try wish.isOn() else { return nil }
        guard let file else { return wish }
        if wish.isOption == file.isOption { throw wish.error("cannot be combined with \(file.source)") }
        return wish.isOption ? wish : nil
    }

    func binds(isSecure: Bool) throws(ConfigurationError) -> [Bind] {
        let defaultPort = isSecure ? 8443 : 8000
        let binds = list(options.listening.bind, "bind")
        let host = setting(options.listening.host, "host")
        let port = setting(options.listening.port, "port")
        let parts = [host, port].compactMap { $0 }
        if let bind = binds.first, let part = parts.first(where: \.isOption) ?? parts.first {
            if bind.isOption == part.isOption { throw part.error("cannot be combined with \(bind.source)") }
            if bind.isOption { return try parsed(binds, defaultPort: defaultPort) }
        } else if !binds.isEmpty {
            return try parsed(binds, defaultPort: defaultPort)
        }
        // Who starts us with sockets means those.
        if parts.isEmpty, environment.hasPassedSockets { return [.systemd(name: nil)] }
        return [
            .address(host: try host?.host() ?? "127.0.0.1", port: try port?.port(from: 0) ?? defaultPort)
        ]
    }

    func insecureBinds(isSecure: Bool) throws(ConfigurationError) -> [Bind] {
        let binds = list(options.listening.insecureBind, "insecure-bind")
        if let first = binds.first, !isSecure {
            throw first.error("is for plaintext beside TLS, and there is no certificate; --bind is plaintext then")
        }
        return try parsed(binds, defaultPort: 8000)
    }

    /// - Parameters:
    ///   - binds: Where TLS is spoken, if anywhere.
    ///   - insecureBinds: Where plaintext is spoken beside it.
    func protocols(
        isSecure: Bool,
        binds: [Bind],
        insecureBinds: [Bind]
    ) throws(ConfigurationError) -> Set<Configuration.HTTPProtocol> {
        let given = setting(options.listening.http, "http")
        guard let given, let versions = try given.httpVersions() else {
            return Set(Configuration.HTTPProtocol.allCases)
        }
        if versions.contains(.http3) && !isSecure {
            throw given.error("HTTP/3 needs a certificate: give --certfile and --keyfile, or --dev-cert")
        }
        // HTTP/3 is neither for unix sockets nor for plaintext.
        let streams = binds.filter { if case .unix = $0 { true } else { false } } + insecureBinds
        if versions == [.http3], let silent = streams.first {
            throw given.error("HTTP/3 alone leaves nothing to speak on \(silent)")
        }
        return versions
    }

    func quicRetry(
        isSecure: Bool,
        _ protocols: Set<Configuration.HTTPProtocol>
    ) throws(ConfigurationError) -> Configuration.QUICRetry {
        guard let given = setting(options.listening.quicRetry, "quic-retry") else { return .automatic }
        let retry = try given.quicRetry()
        guard isSecure, protocols.contains(.http3) else {
            throw given.error("is for HTTP/3, which is not served without a certificate or where --http leaves it out")
        }
        return retry
    }

    /// - Parameter binds: Everywhere that is listened.
    func unixSocket(_ binds: [Bind]) throws(ConfigurationError) -> Configuration.UnixSocket {
        let mode = setting(options.listening.unixMode, "unix-mode", "uds-permissions")
        let owner = setting(options.listening.unixOwner, "unix-owner")
        var access = Configuration.UnixSocket(mode: try mode?.permissions())
        if let owner { (access.owner, access.group) = try owner.owner() }
        if let given = mode ?? owner, !binds.contains(where: \.isFile) {
            throw given.error("there is no --bind unix:PATH that it is for")
        }
        return access
    }

    private func parsed(_ binds: [Setting], defaultPort: Int) throws(ConfigurationError) -> [Bind] {
        var parsed: [Bind] = []
        for bind in binds {
            parsed.append(try Bind(parsing: bind.text, defaultPort: defaultPort, option: bind.source))
        }
        return parsed
    }

    // MARK: - Precedence

    /// An option, or the variable of one of its names.
    func setting(_ option: String?, _ names: String...) -> Setting? {
        option.map { Setting(text: $0, source: "--" + names[0], isOption: true) } ?? environment.setting(names)
    }

    func setting(_ flag: Bool?, _ names: String...) -> Setting? {
        flag.map { Setting(text: String($0), source: "--" + names[0], isOption: true) } ?? environment.setting(names)
    }

    func list(_ options: [String], _ name: String) -> [Setting] {
        options.isEmpty
            ? environment.list(name)
            : options.map { Setting(text: $0, source: "--" + name, isOption: true) }
    }
}

extension Bind {
    /// Whether it makes a file.
    fileprivate var isFile: Bool {
        if case .unix(let path) = self { !path.hasPrefix("@") } else { false }
    }
}
