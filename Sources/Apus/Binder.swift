import ApusGateway
import ApusHTTP
import ApusTLS
import ApusTransport
import Logging

/// Turns a configuration into a worker with bound sockets: checks everything that needs no port first.
struct Binder {
    /// Attempts to find one port number that is free everywhere it is needed.
    private static let portAttempts = 16

    let configuration: Configuration

    /// Checks the configuration, loads certificates, then binds.
    ///
    /// - Throws: ``ConfigurationError`` before any port is opened, ``BindError``.
    func worker(_ application: any Application, _ logger: Logger) throws -> (Worker, [Listener]) {
        try check()
        let tls = try tlsContext()
        var acceptors: [Worker.Acceptor] = []
        var listeners: [Listener] = []
        for bind in configuration.binds {
            try open(bind, tls, &acceptors, &listeners)
        }
        for bind in configuration.insecureBinds {
            try open(bind, nil, &acceptors, &listeners)
        }
        let worker = try Worker(
            configuration: configuration,
            application: application,
            logger: logger,
            acceptors: acceptors
        )
        return (worker, listeners)
    }

    private func check() throws(ConfigurationError) {
        guard !configuration.binds.isEmpty || !configuration.insecureBinds.isEmpty else {
            throw ConfigurationError(option: "--bind", "there is no address to listen at")
        }
        guard !configuration.protocols.isEmpty else {
            throw ConfigurationError(option: "--http", "no version of HTTP is left to serve")
        }
        let onlyHTTP3 = configuration.protocols == [.http3]
        guard !onlyHTTP3 || configuration.tls != nil else {
            throw ConfigurationError(option: "--http", "HTTP/3 needs a certificate (--certfile and --keyfile)")
        }
        guard !onlyHTTP3 || configuration.insecureBinds.isEmpty else {
            throw ConfigurationError(option: "--insecure-bind", "HTTP/3 is never served in plaintext")
        }
    }

    private func tlsContext() throws(ConfigurationError) -> TLSContext? {
        guard let tls = configuration.tls else { return nil }
        var server = TLSConfiguration.server(
            TLSConfiguration.Identity(
                certificateFile: tls.certificateFile,
                keyFile: tls.keyFile,
                keyPassword: tls.keyPassword
            )
        )
        server.applicationProtocols = tcpProtocols.map { $0 == .http2 ? .http2 : .http11 }
        do {
            return try TLSContext(configuration: server)
        } catch {
            throw ConfigurationError(option: "--certfile", error.description)
        }
    }

    /// What TCP can carry of the configured versions, the preferred one first.
    private var tcpProtocols: [Configuration.HTTPProtocol] {
        [.http2, .http1].filter { configuration.protocols.contains($0) }
    }

    // MARK: - Sockets

    private func open(
        _ bind: Bind,
        _ tls: TLSContext?,
        _ acceptors: inout [Worker.Acceptor],
        _ listeners: inout [Listener]
    ) throws {
        switch bind {
        case .unix(let path):
            let listener = try listen(.unix(path: path), for: bind)
            acceptors.append(Worker.Acceptor(listener: listener, context: context(tls, unixPath: path, altSvc: nil)))
            listeners.append(publicListener(Address(host: path, port: nil), tls != nil))
        case .address(let host, let port):
            for listener in try listen(host, port, for: bind) {
                guard case .ip(let address) = listener.localAddress else { continue }
                acceptors.append(
                    Worker.Acceptor(listener: listener, context: context(tls, unixPath: nil, altSvc: nil))
                )
                listeners.append(publicListener(Address(address), tls != nil))
            }
        }
    }

    private func context(_ tls: TLSContext?, unixPath: String?, altSvc: String?) -> ListenerContext {
        ListenerContext(
            tlsContext: tls,
            protocols: Set(tcpProtocols),
            unixPath: unixPath,
            configuration: configuration,
            altSvc: altSvc
        )
    }

    private func publicListener(_ address: Address, _ isSecure: Bool) -> Listener {
        Listener(address: address, isSecure: isSecure, protocols: tcpProtocols.reversed())
    }

    private func listen(_ host: String, _ port: Int, for bind: Bind) throws -> [TCPListener] {
        let place = host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
        let addresses: [SocketAddress]
        do {
            addresses = try SocketAddress.resolve(place)
        } catch {
            throw ConfigurationError(option: "--bind", error.description)
        }
        return try addresses.map { try listen(.ip($0), for: bind) }
    }

    private func listen(_ address: BindAddress, for bind: Bind) throws(BindError) -> TCPListener {
        do {
            return try TCPListener(address: address, backlog: Int32(clamping: configuration.backlog))
        } catch {
            throw BindError(bind: bind, reason: error.reason)
        }
    }
}
