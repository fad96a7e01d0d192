import ApusGateway
import ApusHTTP
import ApusHTTP3
import ApusTLS
import ApusTransport
import Logging

/// Turns a configuration into a worker with bound sockets: checks everything that needs no port first.
struct Binder {
    /// Attempts to find one port number that is free everywhere it is needed.
    private static let portAttempts = 16

    let configuration: Configuration

    /// Both stacks' view of the one certificate.
    private struct Identity {
        let tls: TLSContext
        let quic: QUICServerCredentials
    }

    /// Checks the configuration, loads certificates, then binds.
    ///
    /// - Throws: ``ConfigurationError`` before any port is opened, ``BindError``.
    func worker(_ application: any Application, _ logger: Logger) throws -> (Worker, [Listener]) {
        try check()
        let identity = try identity()
        let secure = try configuration.binds.map { (try open($0, secure: identity != nil), identity) }
        let insecure = try configuration.insecureBinds.map { (try open($0, secure: false), nil as Identity?) }
        let worker = try Worker(configuration: configuration, application: application, logger: logger)
        var listeners: [Listener] = []
        for (place, identity) in secure + insecure {
            add(place, identity, to: worker)
            listeners += describe(place, isSecure: identity != nil)
        }
        return (worker, listeners)
    }

    private func check() throws(ConfigurationError) {
        guard !configuration.binds.isEmpty || !configuration.insecureBinds.isEmpty else {
            throw ConfigurationError(option: "--bind", "there is no address to listen at")
        }
        guard !configuration.protocols.isEmpty else {
            throw ConfigurationError(option: "--http", "no version of HTTP is left to serve")
        }
        guard configuration.protocols == [.http3] else { return }
        guard configuration.tls != nil else {
            throw ConfigurationError(option: "--http", "HTTP/3 needs a certificate (--certfile and --keyfile)")
        }
        guard configuration.insecureBinds.isEmpty else {
            throw ConfigurationError(option: "--insecure-bind", "HTTP/3 is never served in plaintext")
        }
    }

    /// Loads the certificate into both TLS stacks; both must take it.
    private func identity() throws(ConfigurationError) -> Identity? {
        guard let tls = configuration.tls else { return nil }
        var server = TLSConfiguration.server(
            TLSConfiguration.Identity(
                certificateFile: tls.certificateFile,
                keyFile: tls.keyFile,
                keyPassword: tls.keyPassword
            )
        )
        server.applicationProtocols = tcpProtocols.reversed()
            .flatMap { version -> [ApplicationProtocol] in
                version == .http2 ? [.http2] : [.http11, .http10]
            }
        let context: TLSContext
        do {
            context = try TLSContext(configuration: server)
        } catch {
            throw ConfigurationError(option: "--certfile", error.description)
        }
        do {
            let credentials = try QUICServerCredentials(
                certificateFile: tls.certificateFile,
                keyFile: tls.keyFile,
                password: tls.keyPassword
            )
            return Identity(tls: context, quic: credentials)
        } catch {
            throw ConfigurationError(option: "--certfile", error.description)
        }
    }

    /// What TCP can carry of the configured versions, in ascending order.
    private var tcpProtocols: [Configuration.HTTPProtocol] {
        [.http1, .http2].filter { configuration.protocols.contains($0) }
    }

    // MARK: - What was bound

    private func add(_ place: BoundPlace, _ identity: Identity?, to worker: Worker) {
        let quicDefaults = ResponseDefaults(configuration: configuration, altSvc: nil)
        let tcpDefaults = ResponseDefaults(configuration: configuration, altSvc: altSvc(for: place))
        for listener in place.listeners {
            let context = ListenerContext(
                tlsContext: identity?.tls,
                protocols: Set(tcpProtocols),
                unixPath: place.unixPath,
                limits: configuration.limits,
                webSockets: configuration.webSocket.isEnabled,
                defaults: tcpDefaults
            )
            worker.add(listener, context)
        }
        guard let identity, !place.sockets.isEmpty else { return }
        let endpoint = QUICEndpoint(
            configuration: QUICConfiguration(
                limits: configuration.limits,
                credentials: identity.quic,
                secrets: .random(),
                webSockets: configuration.webSocket.isEnabled,
                wallClock: { UInt64(clamping: HTTPDate.now()) * 1_000_000_000 }
            )
        )
        worker.add(QUICDriver(sockets: place.sockets, endpoint: endpoint, defaults: quicDefaults, worker: worker))
    }

    /// RFC 7838 §3: HTTP/3 on the same host, at the public port; nil where there is none.
    private func altSvc(for place: BoundPlace) -> String? {
        guard let bound = place.sockets.first?.localAddress.port else { return nil }
        return "h3=\":\(configuration.altSvcPort ?? Int(bound))\"; ma=86400"
    }

    private func describe(_ place: BoundPlace, isSecure: Bool) -> [Listener] {
        if let path = place.unixPath {
            return [
                Listener(address: Address(host: path, port: nil), isSecure: isSecure, protocols: tcpProtocols)
            ]
        }
        let http3: [Configuration.HTTPProtocol] = place.sockets.isEmpty ? [] : [.http3]
        let addresses = place.listeners.compactMap { listener -> SocketAddress? in
            guard case .ip(let address) = listener.localAddress else { return nil }
            return address
        }
        if addresses.isEmpty {
            return place.sockets.map {
                Listener(address: Address($0.localAddress), isSecure: true, protocols: http3)
            }
        }
        return addresses.map {
            Listener(address: Address($0), isSecure: isSecure, protocols: tcpProtocols + http3)
        }
    }

    // MARK: - Sockets

    /// Opens the sockets of one place: TCP, and UDP beside it where HTTP/3 is served there.
    private func open(_ bind: Bind, secure: Bool) throws -> BoundPlace {
        switch bind {
        case .unix(let path):
            guard !tcpProtocols.isEmpty else {
                throw ConfigurationError(option: "--bind", "HTTP/3 has no place on a unix socket: \(bind)")
            }
            do {
                let listener = try TCPListener(
                    address: .unix(path: path),
                    backlog: Int32(clamping: configuration.backlog)
                )
                return BoundPlace(listeners: [listener], unixPath: path)
            } catch {
                throw BindError(bind: bind, reason: error.reason)
            }
        case .descriptor, .systemd:
            throw ConfigurationError(option: "--bind", "sockets from elsewhere cannot be used yet: \(bind)")
        case .address(let host, let port):
            let addresses = try resolve(host, port)
            return try open(addresses, for: bind, udp: secure && configuration.protocols.contains(.http3))
        }
    }

    private func resolve(_ host: String, _ port: Int) throws(ConfigurationError) -> [SocketAddress] {
        let place = host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
        do {
            return try SocketAddress.resolve(place)
        } catch {
            throw ConfigurationError(option: "--bind", error.description)
        }
    }

    /// A free port may be taken for UDP, or on another address: then another one is tried.
    private func open(_ addresses: [SocketAddress], for bind: Bind, udp: Bool) throws(BindError) -> BoundPlace {
        var failure = SystemError("bind", code: 0)
        let attempts = addresses.contains { $0.port == 0 } ? Self.portAttempts : 1
        for _ in 0..<attempts {
            do {
                return try openOnce(addresses, udp: udp)
            } catch {
                failure = error
                guard error.isAddressInUse else { break }
            }
        }
        throw BindError(bind: bind, reason: failure.reason)
    }

    private func openOnce(_ addresses: [SocketAddress], udp: Bool) throws(SystemError) -> BoundPlace {
        var place = BoundPlace()
        var port: UInt16 = 0
        for address in addresses {
            do {
                try place.open(
                    address,
                    port: &port,
                    tcp: !tcpProtocols.isEmpty,
                    udp: udp,
                    backlog: configuration.backlog
                )
            } catch {
                // A host without IPv6 still has the IPv4 half of a name.
                guard error.isAddressMissing, addresses.count > 1, address != addresses[0] else { throw error }
            }
        }
        return place
    }
}

/// The sockets of one place to listen at.
struct BoundPlace {
    var listeners: [TCPListener] = []
    var sockets: [UDPSocket] = []
    var unixPath: String?

    /// Opens what one address needs, on the port that the first socket got.
    mutating func open(
        _ address: SocketAddress,
        port: inout UInt16,
        tcp: Bool,
        udp: Bool,
        backlog: Int
    ) throws(SystemError) {
        var address = address
        if port != 0 { address.port = port }
        if tcp {
            let listener = try TCPListener(address: .ip(address), backlog: Int32(clamping: backlog))
            if case .ip(let bound) = listener.localAddress { address.port = bound.port }
            listeners.append(listener)
        }
        guard udp else {
            port = address.port
            return
        }
        for place in Self.udpAddresses(for: address) {
            var place = place
            place.port = address.port
            let socket = try UDPSocket(address: place)
            address.port = socket.localAddress.port
            sockets.append(socket)
        }
        port = address.port
    }

    /// TCP's `::` takes IPv4 as well; on UDP each family has a socket of its own, for the sake of its control messages.
    private static func udpAddresses(for address: SocketAddress) -> [SocketAddress] {
        guard address.host == "::", let any = SocketAddress(literal: "0.0.0.0", port: address.port) else {
            return [address]
        }
        return [address, any]
    }
}
