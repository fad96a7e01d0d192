import ApusHTTP

/// Opens WebSockets by Upgrade on HTTP/1.1 (RFC 6455 §4), each on a connection of its own.
package final class UpgradeConnector: WebSocketConnector {
    private let server: SocketAddress

    package init(server: SocketAddress) {
        self.server = server
    }

    package func open(_ path: String, offer: String?, until deadline: Instant) throws -> any WebSocketTransport {
        var request =
            "GET \(path) HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
            + "sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        if let offer { request += "sec-websocket-extensions: \(offer)\r\n" }
        let stream = try ByteStream(to: server)
        try stream.send(Array((request + "\r\n").utf8), until: deadline)
        let opening = try stream.head(until: deadline)
        guard opening.status == 101 else { throw ClientFailure("the opening is answered with \(opening.status)") }
        // The answer to the key above, from RFC 6455 §1.3.
        guard opening["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" else {
            throw ClientFailure("sec-websocket-accept is wrong")
        }
        return UpgradeTransport(stream: stream, opening: opening)
    }

    package func get(_ path: String, until deadline: Instant) throws -> (status: Int, body: [UInt8]) {
        let stream = try ByteStream(to: server)
        let request = "GET \(path) HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
        try stream.send(Array(request.utf8), until: deadline)
        let head = try stream.head(until: deadline)
        var body: [UInt8] = []
        while case .bytes(let more) = try stream.receive(until: deadline) { body += more }
        return (head.status, body)
    }
}

/// A WebSocket that is a whole TCP connection.
private final class UpgradeTransport: WebSocketTransport {
    let opening: WebSocketOpening
    private let stream: ByteStream

    init(stream: ByteStream, opening: WebSocketOpening) {
        self.stream = stream
        self.opening = opening
    }

    func send(_ pieces: [[UInt8]], until deadline: Instant) throws {
        for piece in pieces { try stream.send(piece, until: deadline) }
    }

    func receive(until deadline: Instant) throws -> WebSocketInput {
        try stream.receive(until: deadline)
    }

    func end(until deadline: Instant) {
        stream.finish()
    }

    func reset(until deadline: Instant) {
        stream.breakOff()
    }
}

/// A TCP connection that takes what comes while it sends: a server that echoes stops reading otherwise.
private final class ByteStream {
    private let socket: ClientSocket
    private var input: [UInt8] = []
    private var isOver: WebSocketInput?

    init(to server: SocketAddress) throws {
        socket = try ClientSocket(.tcp, to: server)
    }

    /// A server that has closed may answer with a reset: then what is left is not sent, and ``receive(until:)`` tells.
    func send(_ bytes: [UInt8], until deadline: Instant) throws {
        var rest = bytes[...]
        while isOver != .reset, !rest.isEmpty {
            do {
                rest = rest.dropFirst(try socket.send(rest))
            } catch {
                takeInput()
                isOver = .reset
            }
            if rest.isEmpty { return }
            guard socket.wait(input: isOver == nil, output: true, until: deadline) else {
                throw ClientFailure("the server takes nothing more")
            }
            takeInput()
        }
    }

    func receive(until deadline: Instant) throws -> WebSocketInput {
        while true {
            takeInput()
            if !input.isEmpty {
                defer { input = [] }
                return .bytes(input)
            }
            if let isOver { return isOver }
            guard socket.wait(until: deadline) else { throw ClientFailure("nothing comes") }
        }
    }

    /// Reads until the socket is empty.
    private func takeInput() {
        while isOver == nil {
            switch try? socket.receive() {
            case .bytes(let bytes): input += bytes
            case .nothing: return
            case .end: isOver = .end
            case nil: isOver = .reset
            }
        }
    }

    func head(until deadline: Instant) throws -> WebSocketOpening {
        var bytes: [UInt8] = []
        while true {
            guard case .bytes(let more) = try receive(until: deadline) else {
                throw ClientFailure("the server ends within its head")
            }
            bytes += more
            guard let end = bytes.indices.first(where: { bytes[$0...].starts(with: "\r\n\r\n".utf8) }) else { continue }
            input = Array(bytes[(end + 4)...]) + input
            return Self.parse(String(decoding: bytes[..<end], as: UTF8.self))
        }
    }

    private static func parse(_ head: String) -> WebSocketOpening {
        let lines = head.split(separator: "\r\n")
        let status = lines.first.flatMap { $0.split(separator: " ").dropFirst().first }.flatMap { Int($0) } ?? 0
        let fields = lines.dropFirst()
            .compactMap { line -> (name: String, value: String)? in
                guard let colon = line.firstIndex(of: ":") else { return nil }
                let value = line[line.index(after: colon)...].drop { $0 == " " }
                return (line[..<colon].lowercased(), String(value))
            }
        return WebSocketOpening(status: status, fields: fields)
    }

    func finish() {
        socket.finish()
    }

    func breakOff() {
        socket.breakOff()
        isOver = .reset
    }
}
