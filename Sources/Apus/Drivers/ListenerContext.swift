import ApusGateway
import ApusHTTP
import ApusHTTP2
import ApusTLS
import ApusTransport

/// What the connections of one TCP listener have in common.
final class ListenerContext {
    /// Of connections from now on; nil for plaintext, which it stays.
    var tlsContext: TLSContext?
    let defaults: ResponseDefaults
    private let protocols: Set<Configuration.HTTPProtocol>
    private let limits: Limits
    private let webSockets: Bool
    /// The path of a unix socket, whose connections have no addresses of their own.
    let unixPath: String?

    init(
        tlsContext: TLSContext?,
        protocols: Set<Configuration.HTTPProtocol>,
        unixPath: String?,
        limits: Limits,
        webSockets: Bool,
        defaults: ResponseDefaults
    ) {
        self.tlsContext = tlsContext
        self.protocols = protocols
        self.unixPath = unixPath
        self.limits = limits
        self.webSockets = webSockets
        self.defaults = defaults
    }

    func offers(_ version: Configuration.HTTPProtocol) -> Bool {
        protocols.contains(version)
    }

    func http1Connection(now: Instant) -> HTTP1Connection {
        HTTP1Connection(
            limits: limits,
            secure: tlsContext != nil,
            acceptsFiles: tlsContext == nil,
            webSockets: webSockets,
            now: now
        )
    }

    func http2Connection(now: Instant) -> HTTP2Connection {
        HTTP2Connection(limits: limits, secure: tlsContext != nil, webSockets: webSockets, now: now)
    }

    func info(of socket: TCPSocket, tls: TLSInfo?, rootPath: String) -> ConnectionInfo {
        ConnectionInfo(
            client: socket.peerAddress.map { Address($0) },
            server: unixPath.map { Address(host: $0, port: nil) } ?? socket.localAddress.map { Address($0) },
            tls: tls,
            rootPath: rootPath
        )
    }
}

extension Address {
    init(_ address: SocketAddress) {
        self.init(host: address.host, port: Int(address.port))
    }
}

extension ConnectionInfo {
    /// The client, for the log.
    var clientName: String { client?.description ?? "a client" }
}
