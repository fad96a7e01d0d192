import ApusGateway
import ApusHTTP
import ApusHTTP2
import ApusTestClients
import Glibc

/// A server's connection with a client beside it, or raw frames, and a clock that stands still.
final class Harness {
    let server: HTTP2Connection
    let client: HTTP2Client
    var now = Instant(nanoseconds: 1_000_000_000)
    /// Everything that the server has told, in order.
    private(set) var events: [StreamEvent] = []
    private var bodies: [Int32: [UInt8]] = [:]
    /// What the application does with each event.
    var application: (Harness, StreamEvent) -> Void = { _, _ in }

    init(limits: Limits = Limits(), window: UInt32? = nil, secure: Bool = true, webSockets: Bool = false) {
        server = HTTP2Connection(limits: limits, secure: secure, webSockets: webSockets, now: now)
        client = HTTP2Client(window: window)
    }

    /// Carries bytes to and fro until neither side has more to say.
    func run() {
        while true {
            let up = client.output()
            feed(up)
            let down = output()
            client.receive(down)
            if up.isEmpty, down.isEmpty { return }
        }
    }

    /// Gives bytes to the server, as one read.
    func feed(_ bytes: [UInt8]) {
        bytes.withUnsafeBytes { server.receive($0, now: now) }
        drain()
    }

    /// Everything that the server has to say.
    func output() -> [UInt8] {
        var output: [UInt8] = []
        while case let more = nextOutput(), !more.isEmpty { output += more }
        return output
    }

    /// What the server says in one call.
    func nextOutput() -> [UInt8] {
        var buffer = OutputBuffer()
        server.nextOutput(into: &buffer, now: now)
        drain()
        var bytes: [UInt8] = []
        while buffer.count > 0 {
            let piece = buffer.withVectors(limit: 1024) { vectors in
                vectors.flatMap { Array(UnsafeRawBufferPointer(start: $0.iov_base, count: $0.iov_len)) }
            }
            bytes += piece
            buffer.consume(piece.count)
        }
        return bytes
    }

    func advance(seconds: Double) {
        now = now + .seconds(seconds)
        if let deadline = server.deadline, deadline <= now {
            server.handleTimeout(now: now)
            drain()
        }
    }

    func drain() {
        while let event = server.nextEvent() {
            events.append(event)
            if case .body(let id, let bytes) = event {
                bytes.withUnsafeBytes { bodies[Int32(id.rawValue), default: []] += $0 }
            }
            application(self, event)
        }
    }

    // MARK: - Events

    var requests: [RequestHead] {
        events.compactMap { if case .request(_, let head) = $0 { head } else { nil } }
    }

    func body(of id: Int32) -> [UInt8] {
        bodies[id] ?? []
    }

    func resets(of id: Int32) -> [StreamReset] {
        events.compactMap { if case .reset(StreamID(UInt64(id)), let reset) = $0 { reset } else { nil } }
    }

    func ended(_ id: Int32) -> Bool {
        events.contains { if case .end(StreamID(UInt64(id)), _) = $0 { true } else { false } }
    }

    func trailers(of id: Int32) -> Headers? {
        for case .end(StreamID(UInt64(id)), let trailers) in events { return trailers }
        return nil
    }

    /// How often a stream was said to be writable.
    func writables(of id: Int32) -> Int {
        events.count { if case .writable(StreamID(UInt64(id))) = $0 { true } else { false } }
    }

    // MARK: - Responses

    func send(_ event: ResponseEvent, on id: Int32) {
        server.send(event, on: StreamID(UInt64(id)))
    }

    /// Answers a stream with a whole response.
    func respond(_ id: Int32, status: Int = 200, body: Bytes = "Hello") {
        send(.head(ResponseHead(status: status, headers: ["content-type": "text/plain"])), on: id)
        send(.body(body, end: true), on: id)
    }
}

extension HTTP2Connection {
    func consumed(_ count: Int, on id: Int32) {
        consumed(count, on: StreamID(UInt64(id)))
    }
}

/// Applications of the tests.
enum Applications {
    /// Says hello at once.
    static let hello: @Sendable (Harness, StreamEvent) -> Void = { harness, event in
        guard case .request(let id, _) = event else { return }
        harness.respond(Int32(id.rawValue))
        harness.server.applicationEnded(on: id)
    }

    /// Sends the body back as it comes, and the trailers.
    static let echo: @Sendable (Harness, StreamEvent) -> Void = { harness, event in
        switch event {
        case .request(let id, _):
            harness.server.send(.head(ResponseHead(status: 200, headers: [:])), on: id)
        case .body(let id, let bytes):
            harness.server.send(.body(bytes, end: false), on: id)
            harness.server.consumed(bytes.count, on: id)
        case .end(let id, let trailers):
            harness.server.send(trailers.map { .trailers($0) } ?? .body(Bytes(), end: true), on: id)
            harness.server.applicationEnded(on: id)
        case .reset(let id, _):
            harness.server.applicationEnded(on: id)
        case .writable:
            break
        }
    }
}

// MARK: - Raw frames

/// Frames as they lie on the wire, for what no library would send.
enum Wire {
    static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) + frame(type: 4, flags: 0, stream: 0, [])

    /// RFC 9113 §4.1.
    static func frame(type: UInt8, flags: UInt8, stream: Int32, _ payload: [UInt8]) -> [UInt8] {
        let count = payload.count
        let length = [UInt8(count >> 16 & 0xFF), UInt8(count >> 8 & 0xFF), UInt8(count & 0xFF)]
        return length + [type, flags] + bigEndian(UInt32(bitPattern: stream)) + payload
    }

    static func bigEndian(_ value: UInt32) -> [UInt8] {
        [UInt8(value >> 24), UInt8(value >> 16 & 0xFF), UInt8(value >> 8 & 0xFF), UInt8(value & 0xFF)]
    }

    /// Fields as literals that are not indexed (RFC 7541 §6.2.2).
    static func block(_ fields: [(String, String)]) -> [UInt8] {
        fields.flatMap { name, value in [0] + string(name) + string(value) }
    }

    /// RFC 7541 §5.2, without Huffman coding.
    private static func string(_ text: String) -> [UInt8] {
        var length = text.utf8.count
        guard length >= 127 else { return [UInt8(length)] + Array(text.utf8) }
        var bytes: [UInt8] = [127]
        length -= 127
        while length >= 128 {
            bytes.append(UInt8(length & 0x7F | 0x80))
            length >>= 7
        }
        return bytes + [UInt8(length)] + Array(text.utf8)
    }

    /// A HEADERS frame with a whole block; `ends` the stream.
    static func headers(_ stream: Int32, _ fields: [(String, String)], ends: Bool = true) -> [UInt8] {
        frame(type: 1, flags: ends ? 0x5 : 0x4, stream: stream, block(fields))
    }

    static func get(_ stream: Int32, ends: Bool = true) -> [UInt8] {
        headers(stream, request, ends: ends)
    }

    static let request = [
        (":method", "GET"), (":scheme", "https"), (":authority", "example.org"), (":path", "/"),
    ]

    static func data(_ stream: Int32, _ bytes: [UInt8], ends: Bool = false) -> [UInt8] {
        frame(type: 0, flags: ends ? 1 : 0, stream: stream, bytes)
    }

    static func reset(_ stream: Int32, code: UInt32 = 8) -> [UInt8] {
        frame(type: 3, flags: 0, stream: stream, bigEndian(code))
    }

    static func windowUpdate(_ stream: Int32, by count: UInt32) -> [UInt8] {
        frame(type: 8, flags: 0, stream: stream, bigEndian(count))
    }

    static func ping() -> [UInt8] {
        frame(type: 6, flags: 0, stream: 0, [1, 2, 3, 4, 5, 6, 7, 8])
    }

    /// The frames in a server's output: type, flags, stream and payload.
    static func parse(_ bytes: [UInt8]) -> [(type: UInt8, flags: UInt8, stream: UInt32, payload: [UInt8])] {
        var frames: [(type: UInt8, flags: UInt8, stream: UInt32, payload: [UInt8])] = []
        var rest = bytes[...]
        while rest.count >= 9 {
            let head = Array(rest.prefix(9))
            let count = Int(head[0]) << 16 | Int(head[1]) << 8 | Int(head[2])
            let stream = head[5...8].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
            frames.append((head[3], head[4], stream, Array(rest.dropFirst(9).prefix(count))))
            rest = rest.dropFirst(9 + count)
        }
        return frames
    }

    /// The error codes of the RST_STREAM frames of a stream.
    static func resets(_ bytes: [UInt8], of stream: UInt32) -> [UInt32] {
        parse(bytes).filter { $0.type == 3 && $0.stream == stream }
            .map { $0.payload.reduce(UInt32(0)) { $0 << 8 | UInt32($1) } }
    }

    /// The error codes of the GOAWAY frames.
    static func goaways(_ bytes: [UInt8]) -> [UInt32] {
        parse(bytes).filter { $0.type == 7 }
            .map { $0.payload[4..<8].reduce(UInt32(0)) { $0 << 8 | UInt32($1) } }
    }
}

/// Bytes that tell their place within 64 KiB.
func pattern(_ count: Int) -> [UInt8] {
    var bytes: [UInt8] = []
    while bytes.count < count { bytes += patternBlock.prefix(count - bytes.count) }
    return bytes
}

private let patternBlock = (0..<65_536).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }

/// Whether these are the bytes of the pattern; a plain answer, so that a failure does not print them all.
func isPattern(_ bytes: [UInt8], _ count: Int) -> Bool {
    bytes == pattern(count)
}
