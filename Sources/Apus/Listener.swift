import ApusGateway

/// A place where a server listens, with its real port.
public struct Listener: Sendable, Hashable, CustomStringConvertible {
    /// The address, or the path of a unix socket.
    public let address: Address
    /// Whether it speaks TLS (and, over UDP, QUIC).
    public let isSecure: Bool
    /// The versions of HTTP that it offers, in ascending order.
    public let protocols: [Configuration.HTTPProtocol]

    /// `https://127.0.0.1:8443 (HTTP/1.1, HTTP/2, HTTP/3)`, `unix:/run/app.sock (HTTP/1.1, HTTP/2 over TLS)`.
    public var description: String {
        let versions = protocols.map { "HTTP/\($0.rawValue)" }.joined(separator: ", ")
        guard address.port != nil else { return "\(address) (\(versions)\(isSecure ? " over TLS" : ""))" }
        return "\(isSecure ? "https" : "http")://\(address) (\(versions))"
    }
}

/// A place could not be listened at: said in one sentence.
public struct BindError: Error, CustomStringConvertible {
    /// The place as it was configured.
    public let bind: Bind
    /// The option that names it on the command line.
    let option: String
    /// Why not.
    public let reason: String

    public var description: String { "\(option): cannot listen at \(bind): \(reason)" }
}
