import ApusGateway
import CNghttp3

/// Extended CONNECT (RFC 9220): streams that carry bytes both ways, piece by piece.
extension HTTP3Client {
    /// The pseudo-fields of a WebSocket's opening.
    package static func webSocket(_ path: String, protocol name: String = "websocket") -> [(String, String)] {
        [(":method", "CONNECT"), (":protocol", name)] + pseudo("CONNECT", path).dropFirst()
    }

    /// Asks for a WebSocket; what goes through it once the server agrees is up to ``write(_:end:on:)``.
    ///
    /// - Parameter early: Bytes that follow the request at once, without an answer.
    package func openWebSocket(
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
    package func write(_ bytes: [UInt8], end: Bool = false, on id: Int64) {
        upload(bytes, end: end, on: id)
    }

    /// Whether the server's SETTINGS allow extended CONNECT (RFC 9220 §3); nil before they have arrived.
    ///
    /// Read from the control stream, because clients' side of nghttp3 1.8 passes over this setting.
    package var allowsExtendedConnect: Bool? {
        guard var control = serverStreams.values.first(where: { $0.first == 0 })?.dropFirst(),
            Self.integer(&control) == 4, let length = Self.integer(&control), control.count >= length
        else { return nil }
        control = control.prefix(Int(length))
        while let setting = Self.integer(&control), let value = Self.integer(&control) {
            if setting == 8 { return value == 1 }
        }
        return false
    }

    /// Takes an integer of variable length (RFC 9000 §16) off the front.
    private static func integer(_ bytes: inout ArraySlice<UInt8>) -> UInt64? {
        guard let first = bytes.first, bytes.count >= 1 << (first >> 6) else { return nil }
        let length = 1 << Int(first >> 6)
        defer { bytes = bytes.dropFirst(length) }
        return bytes.prefix(length).dropFirst().reduce(UInt64(first & 0x3F)) { $0 << 8 | UInt64($1) }
    }

    /// What has arrived on a stream since the last call.
    package func read(on id: Int64) -> [UInt8] {
        let bytes = responses[id]?.body ?? []
        responses[id]?.body = []
        return bytes
    }
}
