import ApusHTTP

/// Where a stream listener listens.
package enum BindAddress: Hashable, Sendable {
    case ip(SocketAddress)
    /// A Unix domain socket in the file system.
    case unix(path: String)
}

extension BindAddress: CustomStringConvertible {
    /// `127.0.0.1:8000`, `[::1]:8000` or `unix:/run/apus.sock`.
    package var description: String {
        switch self {
        case .ip(let address): address.description
        case .unix(let path): "unix:\(path)"
        }
    }
}
