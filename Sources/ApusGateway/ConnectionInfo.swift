/// One end of a connection: an IP address and port, or the path of a unix socket.
public struct Address: Sendable, Hashable, CustomStringConvertible {
    /// The IP address without brackets, or the socket's path.
    public let host: String
    /// The port; nil for a unix socket.
    public let port: Int?

    public init(host: String, port: Int?) {
        self.host = host
        self.port = port
    }

    /// `127.0.0.1:8443`, `[::1]:8443` or `unix:/run/app.sock`.
    public var description: String {
        guard let port else { return "unix:\(host)" }
        return host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    }
}

/// What was agreed in the TLS handshake (ASGI's tls extension, version 0.2).
public struct TLSInfo: Sendable, Hashable {
    /// The protocol version on the wire: 0x0303 is TLS 1.2, 0x0304 is TLS 1.3.
    public let version: Int
    /// The cipher suite's IANA number, e.g. 0x1301 for TLS_AES_128_GCM_SHA256.
    public let cipherSuite: Int
    /// The host name that the client asked for (SNI).
    public let serverName: String?
    /// The client's certificates in DER, its own first; empty where none was asked for or given.
    public let clientCertificateChain: [Bytes]

    public init(version: Int, cipherSuite: Int, serverName: String? = nil, clientCertificateChain: [Bytes] = []) {
        self.version = version
        self.cipherSuite = cipherSuite
        self.serverName = serverName
        self.clientCertificateChain = clientCertificateChain
    }
}

/// What all requests of a connection share.
package final class ConnectionInfo: Sendable {
    /// The client's address; nil where the transport has none, as for most unix sockets.
    package let client: Address?
    /// The address that the client reached.
    package let server: Address?
    /// What TLS agreed on; nil on plaintext.
    package let tls: TLSInfo?
    /// The path under which the application is mounted.
    package let rootPath: String

    package init(client: Address?, server: Address?, tls: TLSInfo?, rootPath: String) {
        self.client = client
        self.server = server
        self.tls = tls
        self.rootPath = rootPath
    }
}
