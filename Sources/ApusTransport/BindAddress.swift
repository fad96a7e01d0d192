import ApusHTTP

/// Where a stream listener listens.
package enum BindAddress: Hashable, Sendable {
    case ip(SocketAddress)
    /// A Unix domain socket in the file system.
    case unix(path: String)
    /// A Unix domain socket whose name is in no file system: it goes with its last descriptor, and any
    /// process of the same network namespace may connect to it.
    case abstract(name: String)
}

extension BindAddress: CustomStringConvertible {
    /// `127.0.0.1:8000`, `[::1]:8000`, `unix:/run/apus.sock` or `unix:@apus`.
    package var description: String {
        switch self {
        case .ip(let address): address.description
        case .unix(let path): "unix:\(path)"
        case .abstract(let name): "unix:@\(name)"
        }
    }
}
