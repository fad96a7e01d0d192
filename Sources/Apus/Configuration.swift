import ApusHTTP

/// How a server listens, what it says about itself, and what it puts up with.
///
/// The defaults are those of the `apus` command: everything that the listeners allow, secure where there is a
/// certificate.
public struct Configuration: Sendable {
    /// Where the server listens: over TLS and HTTP/3 where ``tls`` is set, else in plaintext without UDP.
    public var binds: [Bind] = []
    /// Where it listens in plaintext beside TLS.
    public var insecureBinds: [Bind] = []
    /// The certificate; nil for plaintext only.
    public var tls: TLS?
    /// The versions that may be spoken; each listener offers those of them that it can.
    public var protocols: Set<HTTPProtocol> = Set(HTTPProtocol.allCases)
    /// The UDP port that Alt-Svc names, where it differs from the bound one (behind a port mapping).
    public var altSvcPort: Int?
    /// Whether each request is logged.
    public var accessLog = true
    /// Seconds that requests may take to finish once the server drains.
    public var gracefulTimeout = 30.0
    /// Seconds between a client's leaving and the cancellation of its application task.
    ///
    /// A client of a WebSocket that has closed it in order leaves more: a task that was told of it is not cancelled at all,
    /// one that was not has at least ``WebSocketOptions/closeTimeout`` for the messages that came before.
    public var disconnectGrace = 0.0
    /// The path under which the application is mounted; passed on in the scope.
    public var rootPath = ""
    /// Whether responses say `server: apus`.
    public var serverHeader = true
    /// Whether responses have a `date`.
    public var dateHeader = true
    /// Where application tasks run.
    public var executor: ApplicationExecutor = .loop
    /// The listen queue of each TCP listener.
    public var backlog = 1024
    /// Loops, each on a thread of its own, among which connections are spread; the application is called on all of them.
    ///
    /// For an embedder who wants more than one core in one process; the `apus` command has worker processes instead. The
    /// bounds of ``limits`` and ``webSocket`` hold for each loop.
    public var loops = 1
    /// The most loops that one process may have.
    public static let maxLoops = 64
    /// When clients over QUIC must show that they receive at their address before anything is kept for them.
    public var quicRetry: QUICRetry = .automatic
    /// Who may use unix sockets that the server makes.
    public var unixSocket = UnixSocket()
    /// The bounds of every connection.
    public var limits = Limits()
    /// Whether and how WebSockets are served.
    public var webSocket = WebSocketOptions()

    public init() {}

    /// A version of HTTP that a listener may offer.
    public enum HTTPProtocol: String, Sendable, Hashable, CaseIterable {
        case http1 = "1.1"
        case http2 = "2"
        case http3 = "3"
    }

    /// A certificate chain and its key, both as PEM files.
    public struct TLS: Sendable {
        /// The certificate, followed by those of its issuers.
        public var certificateFile: String
        public var keyFile: String
        /// The password of an encrypted key.
        public var keyPassword: String?

        public init(certificateFile: String, keyFile: String, keyPassword: String? = nil) {
            self.certificateFile = certificateFile
            self.keyFile = keyFile
            self.keyPassword = keyPassword
        }
    }

    /// When a client's address is validated by a Retry (RFC 9000 §8.1.2), which costs it a round trip.
    public enum QUICRetry: String, Sendable, Hashable, CaseIterable {
        /// Never.
        case off
        /// While more clients than usual begin handshakes whose addresses nobody has proved.
        case automatic = "auto"
        /// Whenever a client has no token of an earlier connection.
        case always
    }

    /// Mode and owner of a unix socket's file; nil leaves what the umask and the process give.
    public struct UnixSocket: Sendable, Hashable {
        /// Permission bits, such as `0o660`.
        public var mode: UInt32?
        public var owner: UInt32?
        public var group: UInt32?

        public init(mode: UInt32? = nil, owner: UInt32? = nil, group: UInt32? = nil) {
            self.mode = mode
            self.owner = owner
            self.group = group
        }
    }

    /// Which threads run the application.
    public enum ApplicationExecutor: Sendable {
        /// The loop's own thread: a request that never waits costs no hop. For applications that do not block.
        case loop
        /// Swift's global pool: for applications that compute for long or block.
        case global
    }
}

/// A place to listen at.
public enum Bind: Sendable, Hashable, CustomStringConvertible {
    /// A host name or IP address (without brackets) and a port; port 0 takes a free one, the same for TCP and UDP.
    case address(host: String, port: Int)
    /// The path of a unix socket; one that begins with `@` is a name in the abstract namespace, without a file.
    case unix(path: String)
    /// A socket that the process has inherited: TCP, unix, or UDP for HTTP/3. The server takes it over and closes it at its
    /// end.
    case descriptor(Int32)
    /// The sockets that systemd passes (`LISTEN_FDS`), of one name or (nil) all of them; taken over likewise.
    case systemd(name: String?)

    public var description: String {
        switch self {
        case .address(let host, let port): host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
        case .unix(let path): "unix:\(path)"
        case .descriptor(let number): "fd:\(number)"
        case .systemd(let name): name.map { "systemd:\($0)" } ?? "systemd"
        }
    }
}

extension Bind {
    /// Reads `HOST:PORT`, `[IPv6]:PORT`, `:PORT` (all addresses), `HOST` (with the default port), `unix:PATH`, `unix:@NAME`,
    /// `fd:N`, `systemd` or `systemd:NAME`.
    ///
    /// - Throws: ``ConfigurationError`` that names `option`.
    public init(parsing text: String, defaultPort: Int, option: String) throws(ConfigurationError) {
        if text.hasPrefix("unix:") {
            let path = String(text.dropFirst("unix:".count))
            // sun_path has 108 bytes with its terminator.
            guard !path.isEmpty, path != "@", path.utf8.count < 108 else {
                throw ConfigurationError(option: option, "a unix socket's path has 1 to 107 bytes, not '\(path)'")
            }
            self = .unix(path: path)
            return
        }
        if let inherited = try Self.inherited(text, option) {
            self = inherited
            return
        }
        let (host, port) = Self.split(text)
        guard let host else {
            throw ConfigurationError(
                option: option,
                "'\(text)' is not HOST:PORT, [IPv6]:PORT, unix:PATH, fd:N or systemd"
            )
        }
        guard let port else {
            self = .address(host: host, port: defaultPort)
            return
        }
        guard let number = Int(port), (0...65535).contains(number) else {
            throw ConfigurationError(option: option, "'\(port)' is not a port from 0 to 65535")
        }
        self = .address(host: host.isEmpty ? "::" : host, port: number)
    }

    /// A place that names a socket from elsewhere; nil for any other.
    private static func inherited(_ text: String, _ option: String) throws(ConfigurationError) -> Bind? {
        if text == "systemd" { return .systemd(name: nil) }
        if text.hasPrefix("systemd:") {
            let name = String(text.dropFirst("systemd:".count))
            return .systemd(name: name.isEmpty ? nil : name)
        }
        guard text.hasPrefix("fd:") else { return nil }
        let number = text.dropFirst("fd:".count).drop { $0 == "/" }
        guard let descriptor = Int32(number), descriptor >= 0 else {
            throw ConfigurationError(option: option, "'\(number)' is not the number of a descriptor")
        }
        return .descriptor(descriptor)
    }

    /// Splits at the colon before the port; host is nil where brackets or colons do not add up.
    private static func split(_ text: String) -> (host: String?, port: String?) {
        if text.hasPrefix("[") {
            guard let end = text.firstIndex(of: "]") else { return (nil, nil) }
            let host = String(text[text.index(after: text.startIndex)..<end])
            let rest = text[text.index(after: end)...]
            if rest.isEmpty { return (host, nil) }
            return rest.hasPrefix(":") && !host.isEmpty ? (host, String(rest.dropFirst())) : (nil, nil)
        }
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        switch parts.count {
        case 1: return (text.isEmpty ? nil : text, nil)
        case 2: return (String(parts[0]), String(parts[1]))
        default: return (nil, nil)
        }
    }
}

/// A setting that cannot be: said in one sentence, before any port is opened.
public struct ConfigurationError: Error, CustomStringConvertible {
    /// The option's name as on the command line, e.g. `--certfile`.
    public let option: String
    /// What is wrong with it.
    public let message: String

    public init(option: String, _ message: String) {
        self.option = option
        self.message = message
    }

    public var description: String { "\(option): \(message)" }
}
