/// Extended CONNECT (RFC 8441): streams that carry bytes both ways, piece by piece.
extension HTTP2Client {
    /// Asks for a WebSocket; what goes through it once the server agrees is up to ``send(_:on:ends:)``.
    package func openWebSocket(_ path: String = "/", fields: [(String, String)] = []) -> Int32 {
        let pseudo = [
            (":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "https"), (":authority", "localhost"),
            (":path", path),
        ]
        return request(fields: pseudo + [("sec-websocket-version", "13")] + fields, body: [], ends: false)
    }

    /// What has arrived on a stream since the last call.
    package func read(on id: Int32) -> [UInt8] {
        let exchange = self[id]
        defer { exchange.body = [] }
        return exchange.body
    }
}
