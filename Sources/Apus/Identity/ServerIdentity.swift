import ApusHTTP3
import ApusTLS

/// Both TLS stacks' view of the one certificate.
package struct ServerIdentity: Sendable {
    let tls: TLSContext
    let quic: QUICServerCredentials

    /// Checks the configuration, and loads the certificate into both TLS stacks; both must take it. Opens no port.
    ///
    /// - Returns: nil where there is no certificate.
    package static func load(
        _ configuration: Configuration,
        _ secrets: ServerSecrets
    ) throws(ConfigurationError) -> ServerIdentity? {
        try configuration.check()
        guard let tls = configuration.tls else { return nil }
        var server = TLSConfiguration.server(
            TLSConfiguration.Identity(
                certificateFile: tls.certificateFile,
                keyFile: tls.keyFile,
                keyPassword: tls.keyPassword
            )
        )
        server.applicationProtocols = configuration.tcpProtocols.reversed()
            .flatMap { version -> [ApplicationProtocol] in
                version == .http2 ? [.http2] : [.http11, .http10]
            }
        do {
            return ServerIdentity(
                tls: try TLSContext(configuration: server, tickets: secrets.tickets),
                quic: try QUICServerCredentials(
                    certificateFile: tls.certificateFile,
                    keyFile: tls.keyFile,
                    password: tls.keyPassword,
                    ticketKey: secrets.quicTickets
                )
            )
        } catch {
            throw ConfigurationError(option: "--certfile", "\(error)")
        }
    }
}

extension Configuration {
    /// What TCP can carry of the configured versions, in ascending order.
    var tcpProtocols: [HTTPProtocol] {
        [.http1, .http2].filter { protocols.contains($0) }
    }

    fileprivate func check() throws(ConfigurationError) {
        guard !binds.isEmpty || !insecureBinds.isEmpty else {
            throw ConfigurationError(option: "--bind", "there is no address to listen at")
        }
        guard (1...Self.maxLoops).contains(loops) else {
            throw ConfigurationError(option: "loops", "a process has 1 to \(Self.maxLoops) loops, not \(loops)")
        }
        guard !protocols.isEmpty else {
            throw ConfigurationError(option: "--http", "no version of HTTP is left to serve")
        }
        guard protocols == [.http3] else { return }
        guard tls != nil else {
            throw ConfigurationError(option: "--http", "HTTP/3 needs a certificate (--certfile and --keyfile)")
        }
        guard insecureBinds.isEmpty else {
            throw ConfigurationError(option: "--insecure-bind", "HTTP/3 is never served in plaintext")
        }
    }
}
