import ApusHTTP
import CNghttp2

/// Opens WebSockets by extended CONNECT (RFC 8441) on one HTTP/2 connection: plaintext, with prior knowledge.
package final class HTTP2Connector: WebSocketConnector {
    private let client = HTTP2Client()
    private let socket: ClientSocket
    private var output: [UInt8] = []
    private var isOver = false

    /// Connects, and waits for the server's settings.
    package init(server: SocketAddress, until deadline: Instant) throws {
        socket = try ClientSocket(.tcp, to: server)
        try run(until: deadline, "the settings") { !client.settings.isEmpty }
        guard client.connectsExtended else { throw ClientFailure("the settings do not allow extended CONNECT") }
    }

    package func open(_ path: String, offer: String?, until deadline: Instant) throws -> any WebSocketTransport {
        let fields = offer.map { [("sec-websocket-extensions", $0)] } ?? []
        let id = client.openWebSocket(path, fields: fields)
        try run(until: deadline, "an answer") { client[id].status != nil || client[id].resetCode != nil }
        guard client[id].status == "200" else {
            throw ClientFailure("the opening is answered with \(client[id].status ?? "a reset")")
        }
        let fieldsOfAnswer = client[id].headers
            .compactMap { line -> (name: String, value: String)? in
                guard let colon = line.firstIndex(of: ":") else { return nil }
                return (String(line[..<colon]), String(line[colon...].dropFirst(2)))
            }
        let opening = WebSocketOpening(status: 200, fields: fieldsOfAnswer)
        return HTTP2Transport(connector: self, id: id, opening: opening)
    }

    package func get(_ path: String, until deadline: Instant) throws -> (status: Int, body: [UInt8]) {
        let id = client.request("GET", path)
        try run(until: deadline, "an answer") { client[id].isComplete || client[id].resetCode != nil }
        return (client[id].status.flatMap { Int($0) } ?? 0, client[id].body)
    }

    fileprivate func send(_ pieces: [[UInt8]], ends: Bool, on id: Int32, until deadline: Instant) throws {
        // What the library is asked for between two pieces ends the DATA frame of the first.
        for piece in pieces {
            client.send(piece, on: id)
            output += client.output()
        }
        if ends { client.send([], on: id, ends: true) }
        try run(until: deadline, "room for what is to be sent") {
            client[id].hasSentBody || client[id].isComplete || isGone(id)
        }
        // Once the server has ended its half it need not take the rest.
        if ends, !client[id].hasSentBody { try reset(id, until: deadline) }
    }

    fileprivate func receive(on id: Int32, until deadline: Instant) throws -> WebSocketInput {
        try run(until: deadline, "bytes") { !client[id].body.isEmpty || client[id].isComplete || isGone(id) }
        let bytes = client.read(on: id)
        if !bytes.isEmpty { return .bytes(bytes) }
        return client[id].isComplete ? .end : .reset
    }

    fileprivate func reset(_ id: Int32, until deadline: Instant) throws {
        client.reset(id)
        try run(until: deadline, "room for a reset") { output.isEmpty }
    }

    /// Whether the stream is no more.
    private func isGone(_ id: Int32) -> Bool {
        isOver || client[id].resetCode != nil
    }

    /// Carries bytes to and fro until the condition holds.
    private func run(until deadline: Instant, _ what: String, _ condition: () -> Bool) throws {
        while true {
            output += client.output()
            if !output.isEmpty { output.removeFirst(try socket.send(output[...])) }
            if output.isEmpty || isOver, condition() { return }
            guard !isOver else { throw ClientFailure("the connection ended before \(what) came") }
            guard socket.wait(output: !output.isEmpty, until: deadline) else {
                throw ClientFailure("\(what) did not come")
            }
            switch try socket.receive() {
            case .bytes(let bytes): client.receive(bytes)
            case .nothing: break
            case .end: isOver = true
            }
        }
    }
}

/// A WebSocket that is a stream of an HTTP/2 connection.
private final class HTTP2Transport: WebSocketTransport {
    let opening: WebSocketOpening
    private let connector: HTTP2Connector
    private let id: Int32

    init(connector: HTTP2Connector, id: Int32, opening: WebSocketOpening) {
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
