import ApusHTTP
import ApusTransport

/// A place of the configuration, checked as far as that goes before a port is opened.
struct PlannedPlace {
    enum Source {
        /// What the host's name stands for.
        case addresses([SocketAddress])
        case unix(BindAddress)
        case inherited([BoundSocket])
    }

    /// Places are numbered: the secure ones first, then the insecure ones.
    let number: Int
    let bind: Bind
    /// The option that it comes from.
    let option: String
    let isSecure: Bool
    let source: Source

    /// Looks up all names and takes over all sockets from elsewhere.
    static func all(
        of configuration: Configuration,
        _ elsewhere: inout PassedSockets
    ) throws(ConfigurationError) -> [PlannedPlace] {
        let secure = configuration.binds.map { ($0, "--bind", configuration.tls != nil) }
        let insecure = configuration.insecureBinds.map { ($0, "--insecure-bind", false) }
        var places: [PlannedPlace] = []
        for (bind, option, isSecure) in secure + insecure {
            do {
                let source = try Self.source(bind, isSecure: isSecure, configuration, &elsewhere)
                let number = places.count
                places.append(
                    PlannedPlace(number: number, bind: bind, option: option, isSecure: isSecure, source: source)
                )
            } catch {
                throw ConfigurationError(option: option, error.message)
            }
        }
        return places
    }

    private static func source(
        _ bind: Bind,
        isSecure: Bool,
        _ configuration: Configuration,
        _ elsewhere: inout PassedSockets
    ) throws(ConfigurationError) -> Source {
        switch bind {
        case .address(let host, let port):
            return .addresses(try resolve(host, port))
        case .unix(let path):
            return .unix(try unix(path, bind, configuration))
        case .descriptor, .systemd:
            let sockets = try elsewhere.take(bind)
            for socket in sockets { try check(socket, bind, isSecure: isSecure, configuration) }
            return .inherited(sockets)
        }
    }

    private static func resolve(_ host: String, _ port: Int) throws(ConfigurationError) -> [SocketAddress] {
        let place = host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
        do {
            return try SocketAddress.resolve(place)
        } catch {
            throw ConfigurationError(option: "--bind", error.description)
        }
    }

    private static func unix(
        _ path: String,
        _ bind: Bind,
        _ configuration: Configuration
    ) throws(ConfigurationError) -> BindAddress {
        guard !configuration.tcpProtocols.isEmpty else {
            throw ConfigurationError(option: "--bind", "HTTP/3 has no place on a unix socket: \(bind)")
        }
        guard path.hasPrefix("@") else { return .unix(path: path) }
        guard configuration.unixSocket == Configuration.UnixSocket() else {
            throw ConfigurationError(option: "--bind", "an abstract unix socket has no mode and no owner: \(bind)")
        }
        return .abstract(name: String(path.dropFirst()))
    }

    /// A socket from elsewhere is of one kind: something must be there to be served on it.
    private static func check(
        _ socket: BoundSocket,
        _ bind: Bind,
        isSecure: Bool,
        _ configuration: Configuration
    ) throws(ConfigurationError) {
        switch socket.kind {
        case .tcp, .unix:
            guard configuration.tcpProtocols.isEmpty else { return }
            throw ConfigurationError(option: "--bind", "HTTP/3 has no place on a stream socket: \(bind)")
        case .udp where !configuration.protocols.contains(.http3):
            throw ConfigurationError(option: "--bind", "a UDP socket is of no use without HTTP/3: \(bind)")
        case .udp:
            guard !isSecure else { return }
            throw ConfigurationError(
                option: "--bind",
                "HTTP/3 on a UDP socket needs a certificate (--certfile and --keyfile): \(bind)"
            )
        }
    }
}
