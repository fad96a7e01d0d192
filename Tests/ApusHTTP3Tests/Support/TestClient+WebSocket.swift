import ApusGateway
import CNghttp3

/// Extended CONNECT (RFC 9220): streams that carry bytes both ways, piece by piece.
extension TestClient {
    /// The pseudo-fields of a WebSocket's opening.
    static func webSocket(_ path: String, protocol name: String = "websocket") -> [(String, String)] {
        [(":method", "CONNECT"), (":protocol", name)] + pseudo("CONNECT", path).dropFirst()
    }

    /// Asks for a WebSocket; what goes through it once the server agrees is up to ``write(_:end:on:)``.
    ///
    /// - Parameter early: Bytes that follow the request at once, without an answer.
    func openWebSocket(
        _ path: String = "/",
        protocol name: String = "websocket",
        fields: Headers = ["sec-websocket-version": "13"],
        early: [UInt8] = []
    ) -> Int64 {
        request(
            fields: fields,
            pseudo: Self.webSocket(path, protocol: name),
            upload: Upload(pieces: early, isComplete: false)
        )
    }

    /// Sends bytes through a stream that is open; `end` ends our half.
    func write(_ bytes: [UInt8], end: Bool = false, on id: Int64) {
        upload(bytes, end: end, on: id)
    }

    /// What has arrived on a stream since the last call.
    func read(on id: Int64) -> [UInt8] {
        let bytes = responses[id]?.body ?? []
        responses[id]?.body = []
        return bytes
    }
}
