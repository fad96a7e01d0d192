import ApusGateway

/// Why an opening request gets no WebSocket, and the answer that says so.
package struct WebSocketRefusal: Error, CustomStringConvertible {
    /// 400, 403 or 426.
    package let status: Int
    /// Fields that belong to the answer; no hop-by-hop ones, which are the engine's.
    package let headers: Headers
    /// One clause for the log; holds no bytes of the peer's.
    package let reason: String

    init(_ status: Int, _ reason: String, headers: Headers = Headers()) {
        self.status = status
        self.headers = headers
        self.reason = reason
    }

    package var description: String { "\(status): \(reason)" }
}
