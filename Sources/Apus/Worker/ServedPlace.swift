import ApusHTTP
import ApusHTTP3
import ApusTransport

/// What a worker serves at one place: what its connections over TCP have in common, and its QUIC endpoint.
final class ServedPlace {
    let number: Int
    /// Where there are UDP sockets and a certificate.
    private(set) var quic: QUICDriver?
    private let configuration: Configuration
    private let tcpDefaults: ResponseDefaults
    /// TCP sockets have one for all of them, unix sockets each their own.
    private var contexts: [ListenerContext] = []
    /// While the place speaks TLS.
    private var identity: ServerIdentity?

    /// - Parameter entries: The sockets of the worker's own slot at this place, at least one.
    init(number: Int, entries: [SlotSockets.Entry], membership: Membership, worker: Worker) {
        self.number = number
        configuration = worker.configuration
        identity = entries.contains { $0.isSecure } ? membership.identity : nil
        let datagrams = entries.filter { $0.socket.kind == .udp }
        tcpDefaults = ResponseDefaults(
            configuration: worker.configuration,
            altSvc: Self.altSvc(at: datagrams.first?.socket.port, worker.configuration)
        )
        guard let identity, !datagrams.isEmpty else { return }
        quic = QUICDriver(
            place: number,
            endpoint: QUICEndpoint(
                configuration: Self.quicConfiguration(number, identity, membership, worker.configuration)
            ),
            defaults: ResponseDefaults(configuration: worker.configuration, altSvc: nil),
            worker: worker
        )
    }

    /// RFC 7838 §3: HTTP/3 on the same host, at the public port; nil where there is none.
    private static func altSvc(at bound: UInt16?, _ configuration: Configuration) -> String? {
        guard let bound else { return nil }
        return "h3=\":\(configuration.altSvcPort ?? Int(bound))\"; ma=86400"
    }

    private static func quicConfiguration(
        _ number: Int,
        _ identity: ServerIdentity,
        _ membership: Membership,
        _ configuration: Configuration
    ) -> QUICConfiguration {
        var quic = QUICConfiguration(
            limits: configuration.limits,
            credentials: identity.quic,
            secrets: membership.secrets.quic(ofPlace: number),
            webSockets: configuration.webSocket.isEnabled,
            wallClock: {
                let (seconds, nanoseconds) = WallClock.now()
                return UInt64(clamping: seconds) &* 1_000_000_000 &+ UInt64(clamping: nanoseconds)
            }
        )
        quic.slot = membership.slot
        quic.slotCount = membership.slotCount
        quic.retry =
            switch configuration.quicRetry {
            case .off: .off
            case .automatic: .automatic
            case .always: .always
            }
        return quic
    }

    /// What the connections of a TCP or unix socket have in common.
    func context(for socket: BoundSocket) -> ListenerContext {
        if let context = contexts.first(where: { $0.unixPath == socket.unixPath }) { return context }
        let context = ListenerContext(
            tlsContext: identity?.tls,
            protocols: Set(configuration.tcpProtocols),
            unixPath: socket.unixPath,
            limits: configuration.limits,
            webSockets: configuration.webSocket.isEnabled,
            defaults: tcpDefaults
        )
        contexts.append(context)
        return context
    }

    /// Shows another certificate to clients that connect from now on.
    func use(_ identity: ServerIdentity) {
        guard self.identity != nil else { return }
        self.identity = identity
        for context in contexts { context.tlsContext = identity.tls }
        quic?.endpoint.credentials = identity.quic
    }
}

extension ServerSecrets {
    /// Those of one place: its connection IDs mean nothing at another place, which must not answer for them.
    fileprivate func quic(ofPlace number: Int) -> QUICSecrets {
        var key = quic.connectionIDKey
        key[0] ^= UInt8(truncatingIfNeeded: number)
        key[1] ^= UInt8(truncatingIfNeeded: number >> 8)
        return QUICSecrets(
            staticSecret: quic.staticSecret,
            // The packet filter of every place has the same.
            steeringKey: quic.steeringKey,
            connectionIDKey: key,
            tokenSecret: quic.tokenSecret
        )
    }
}
