import ApusGateway
import ApusHTTP

/// Opens WebSockets by extended CONNECT (RFC 9220) on one HTTP/3 connection; any certificate will do.
package final class HTTP3Connector: WebSocketConnector {
    private let caller: HTTP3Caller
    private var client: HTTP3Client { caller.client }

    /// Connects, and waits for the server's settings.
    package init(server: SocketAddress, until deadline: Instant) throws {
        caller = try HTTP3Caller(server: server)
        try run(until: deadline, "the settings") { client.allowsExtendedConnect != nil }
        guard client.allowsExtendedConnect == true else {
            throw ClientFailure("the settings do not allow extended CONNECT")
        }
    }

    package func open(_ path: String, offer: String?, until deadline: Instant) throws -> any WebSocketTransport {
        var fields: Headers = ["sec-websocket-version": "13"]
        if let offer { fields.append("sec-websocket-extensions", offer) }
        let id = client.openWebSocket(path, fields: fields)
        try run(until: deadline, "an answer") { client.responses[id]?.status != nil || isGone(id) }
        guard let response = client.responses[id], response.status == 200 else {
            let status = client.responses[id]?.status.map { String($0) }
            throw ClientFailure("the opening is answered with \(status ?? "a reset")")
        }
        let fieldsOfAnswer = response.fields.map { (name: $0.name.description, value: $0.value.description) }
        return HTTP3Transport(connector: self, id: id, opening: WebSocketOpening(status: 200, fields: fieldsOfAnswer))
    }

    package func get(_ path: String, until deadline: Instant) throws -> (status: Int, body: [UInt8]) {
        let id = client.request("GET", path)
        try run(until: deadline, "an answer") { client.responses[id]?.ended == true || isGone(id) }
        return (client.responses[id]?.status ?? 0, client.responses[id]?.body ?? [])
    }

    fileprivate func send(_ pieces: [[UInt8]], ends: Bool, on id: Int64, until deadline: Instant) throws {
        for piece in pieces { client.write(piece, on: id) }
        if ends { client.write([], end: true, on: id) }
        try run(until: deadline, "room for what is to be sent") { client.hasTakenUpload(on: id) || isGone(id) }
    }

    fileprivate func receive(on id: Int64, until deadline: Instant) throws -> WebSocketInput {
        try run(until: deadline, "bytes") {
            guard let response = client.responses[id] else { return true }
            return !response.body.isEmpty || response.ended || isGone(id)
        }
        let bytes = client.read(on: id)
        if !bytes.isEmpty { return .bytes(bytes) }
        return client.responses[id]?.ended == true ? .end : .reset
    }

    fileprivate func reset(_ id: Int64, until deadline: Instant) throws {
        client.reset(id)
        try run(until: deadline, "room for a reset") { true }
    }

    /// Whether the stream is no more.
    private func isGone(_ id: Int64) -> Bool {
        client.isOver || client.responses[id]?.resetCode != nil || client.responses[id]?.closeCode != nil
    }

    private func run(until deadline: Instant, _ what: String, _ condition: () -> Bool) throws {
        try caller.run(until: deadline, what, condition)
    }
}

/// A WebSocket that is a stream of an HTTP/3 connection.
private final class HTTP3Transport: WebSocketTransport {
    let opening: WebSocketOpening
    private let connector: HTTP3Connector
    private let id: Int64

    init(connector: HTTP3Connector, id: Int64, opening: WebSocketOpening) {
        self.connector = connector
        self.id = id
        self.opening = opening
    }

    func send(_ pieces: [[UInt8]], until deadline: Instant) throws {
        try connector.send(pieces, ends: false, on: id, until: deadline)
    }

    func receive(until deadline: Instant) throws -> WebSocketInput {
        try connector.receive(on: id, until: deadline)
    }

    func end(until deadline: Instant) throws {
        try connector.send([], ends: true, on: id, until: deadline)
    }

    func reset(until deadline: Instant) throws {
        try connector.reset(id, until: deadline)
    }
}
