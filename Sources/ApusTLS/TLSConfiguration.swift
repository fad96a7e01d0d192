/// What one side of TLS is set up with.
package struct TLSConfiguration: Sendable {
    package enum Role: Hashable, Sendable {
        case server
        case client
    }

    /// A certificate chain and its private key, both in PEM form.
    package struct Identity: Sendable {
        /// The leaf first, then the certificates that lead to the root.
        package var certificateFile: String
        /// Nil: the key is in the certificate's file.
        package var keyFile: String?
        /// Opens an encrypted key.
        package var keyPassword: String?

        package init(certificateFile: String, keyFile: String? = nil, keyPassword: String? = nil) {
            self.certificateFile = certificateFile
            self.keyFile = keyFile
            self.keyPassword = keyPassword
        }
    }

    /// Whether the peer must show a certificate that leads to a trusted root.
    package enum PeerVerification: Hashable, Sendable {
        /// A server does not ask; a client takes whatever comes.
        case off
        /// A server asks and goes on without one, but refuses a wrong one; the same as `required` for a client.
        case optional
        case required
    }

    package let role: Role
    package var identity: Identity?
    /// By preference; where a server's client offers none of them, the handshake fails.
    package var applicationProtocols: [ApplicationProtocol] = [.http2, .http11, .http10]
    package var minimumVersion: TLSVersion = .tls12
    package var maximumVersion: TLSVersion = .tls13
    package var peerVerification: PeerVerification
    /// Roots in PEM form that a peer's certificate must lead to; nil: those of the system.
    package var trustFile: String?

    /// A server with this certificate.
    package static func server(_ identity: Identity) -> TLSConfiguration {
        TLSConfiguration(role: .server, identity: identity, peerVerification: .off)
    }

    /// A client that verifies its server.
    package static func client() -> TLSConfiguration {
        TLSConfiguration(role: .client, identity: nil, peerVerification: .required)
    }

    private init(role: Role, identity: Identity?, peerVerification: PeerVerification) {
        self.role = role
        self.identity = identity
        self.peerVerification = peerVerification
    }
}

/// A protocol version, by its number on the wire.
package enum TLSVersion: UInt16, Sendable {
    case tls12 = 0x0303
    case tls13 = 0x0304
}

/// A protocol that ALPN can agree on, by its registered name (RFC 7301 §6).
package enum ApplicationProtocol: String, Sendable {
    case http10 = "http/1.0"
    case http11 = "http/1.1"
    case http2 = "h2"
}
