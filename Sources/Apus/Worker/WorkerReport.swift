/// What a worker says of itself.
package struct WorkerReport: Sendable, Hashable {
    /// Requests since its start, WebSockets among them.
    package var requests = 0
    /// Connections that have agreed on a version, by that.
    package var http1 = 0
    package var http2 = 0
    package var http3 = 0
    /// WebSockets, on whichever of the connections.
    package var webSockets = 0
    package var isDraining = false

    package init() {}

    mutating func add(_ count: Int, to version: Configuration.HTTPProtocol) {
        switch version {
        case .http1: http1 += count
        case .http2: http2 += count
        case .http3: http3 += count
        }
    }
}
