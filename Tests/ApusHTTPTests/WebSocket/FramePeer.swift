import ApusGateway
import ApusHTTP
import Testing

/// A frame as the peer makes it: right by default, wrong where a test says so.
struct PeerFrame {
    static let key: [UInt8] = [0x37, 0xFA, 0x21, 0x3D]

    var opcode: UInt8
    var payload: [UInt8] = []
    var isFinal = true
    var reserved: UInt8 = 0
    var isMasked = true
    /// What the head says of the length; the payload's by default.
    var announced: UInt64?
    /// 7, 16 or 64 bits of length; what is minimal by default.
    var lengthBits: Int?

    var bytes: [UInt8] {
        let length = announced ?? UInt64(payload.count)
        let bits = lengthBits ?? (length < 126 ? 7 : length <= 0xFFFF ? 16 : 64)
        let mask: UInt8 = isMasked ? 0x80 : 0
        var bytes = [(isFinal ? 0x80 : 0) | reserved << 4 | opcode]
        switch bits {
        case 7: bytes.append(mask | UInt8(length))
        case 16: bytes += [mask | 126] + withUnsafeBytes(of: UInt16(length).bigEndian) { Array($0) }
        default: bytes += [mask | 127] + withUnsafeBytes(of: length.bigEndian) { Array($0) }
        }
        guard isMasked else { return bytes + payload }
        return bytes + Self.key + payload.enumerated().map { $1 ^ Self.key[$0 % 4] }
    }

    static func text(_ text: String, more: Bool = false) -> PeerFrame {
        PeerFrame(opcode: 1, payload: Array(text.utf8), isFinal: !more)
    }

    static func text(_ bytes: [UInt8], more: Bool = false) -> PeerFrame {
        PeerFrame(opcode: 1, payload: bytes, isFinal: !more)
    }

    static func binary(_ bytes: [UInt8], more: Bool = false) -> PeerFrame {
        PeerFrame(opcode: 2, payload: bytes, isFinal: !more)
    }

    static func continuation(_ bytes: [UInt8], more: Bool = false) -> PeerFrame {
        PeerFrame(opcode: 0, payload: bytes, isFinal: !more)
    }

    static func compressed(_ bytes: [UInt8], more: Bool = false) -> PeerFrame {
        PeerFrame(opcode: 1, payload: bytes, isFinal: !more, reserved: 4)
    }

    static func ping(_ payload: [UInt8] = []) -> PeerFrame { PeerFrame(opcode: 9, payload: payload) }
    static func pong(_ payload: [UInt8] = []) -> PeerFrame { PeerFrame(opcode: 10, payload: payload) }

    static func close(_ code: Int? = nil, _ reason: [UInt8] = []) -> PeerFrame {
        PeerFrame(opcode: 8, payload: (code.map { [UInt8($0 >> 8), UInt8($0 & 0xFF)] } ?? []) + reason)
    }
}

/// A frame of ours as the peer reads it.
struct ReadFrame: Equatable {
    var opcode: UInt8
    var payload: [UInt8]
    var isFinal = true
    var isCompressed = false

    static func close(_ code: Int) -> ReadFrame {
        ReadFrame(opcode: 8, payload: [UInt8(code >> 8), UInt8(code & 0xFF)])
    }

    static func pong(_ payload: [UInt8]) -> ReadFrame { ReadFrame(opcode: 10, payload: payload) }

    /// Of a Close frame; nil where it has none.
    var code: Int? { opcode == 8 && payload.count >= 2 ? Int(payload[0]) << 8 | Int(payload[1]) : nil }

    /// Reads frames until the bytes end; what is left over fails the test.
    static func all(_ bytes: [UInt8]) throws -> [ReadFrame] {
        var frames: [ReadFrame] = []
        var rest = bytes[...]
        while !rest.isEmpty {
            try #require(rest.count >= 2)
            let (first, short) = (rest.removeFirst(), rest.removeFirst())
            try #require(short & 0x80 == 0, "a server's frames are not masked")
            let size = short == 126 ? 2 : short == 127 ? 8 : 0
            try #require(rest.count >= size)
            let length = size == 0 ? Int(short) : rest.prefix(size).reduce(0) { $0 << 8 | Int($1) }
            rest = rest.dropFirst(size)
            try #require(rest.count >= length, "a frame is whole")
            #expect(first & 0x30 == 0)
            frames.append(
                ReadFrame(
                    opcode: first & 0x0F,
                    payload: Array(rest.prefix(length)),
                    isFinal: first & 0x80 != 0,
                    isCompressed: first & 0x40 != 0
                )
            )
            rest = rest.dropFirst(length)
        }
        return frames
    }
}

/// In how many bytes at a time the input comes.
let everyFeeding = [Int.max, 1, 3]

/// Drives an engine as a stream does, with time in its hands.
final class FramePeer {
    let connection: WebSocketConnection
    let feeding: Int
    var now = Instant(nanoseconds: 1_000_000_000)
    /// What the engine has not taken.
    private(set) var waiting: [UInt8] = []
    /// Pieces of output as they left the engine.
    private(set) var pieces: [Bytes] = []

    init(
        _ feeding: Int = .max,
        delivery: WebSocketDelivery = .messages,
        deflate: PerMessageDeflate? = nil,
        _ change: (inout WebSocketOptions) -> Void = { _ in }
    ) {
        var options = WebSocketOptions()
        change(&options)
        self.feeding = feeding
        connection = WebSocketConnection(options: options, deflate: deflate, delivery: delivery, now: now)
    }

    func give(_ frames: PeerFrame...) {
        give(bytes: frames.flatMap(\.bytes))
    }

    func give(bytes: [UInt8]) {
        waiting += bytes
        settle()
    }

    /// Gives what waits, until it is gone or the engine wants no more.
    func settle() {
        var start = 0
        while start < waiting.count, connection.wantsInput {
            let end = feeding < waiting.count - start ? start + feeding : waiting.count
            let used = waiting[start..<end].withUnsafeBytes { connection.receive($0, now: now) }
            if used < end - start { #expect(!connection.wantsInput, "what is wanted is taken") }
            start += used
        }
        waiting.removeFirst(start)
    }

    /// Everything that the application would be told, taken as it comes.
    func events() -> [WebSocketEvent] {
        var events: [WebSocketEvent] = []
        repeat {
            settle()
            while let event = connection.nextEvent() { events.append(event) }
        } while !waiting.isEmpty && connection.wantsInput
        askForMore()
        while let event = connection.nextEvent() { events.append(event) }
        return events
    }

    /// What an application does that has answered everything: only then does it learn of a fault behind that.
    private func askForMore() {
        let isAwaited = connection.isAwaited
        connection.isAwaited = true
        connection.isAwaited = isAwaited
    }

    func frames() throws -> [ReadFrame] {
        pieces = []
        while let piece = connection.nextOutput() { pieces.append(piece) }
        return try ReadFrame.all(pieces.flatMap { Array($0) })
    }

    /// Lets time pass, and wakes the engine at each of its deadlines.
    func pass(_ seconds: Double) {
        let end = now + .seconds(seconds)
        while let deadline = connection.deadline, deadline <= end {
            now = max(now, deadline)
            connection.handleTimeout(now: now)
        }
        now = end
    }

    /// That the peer broke a rule: the Close frame, what the application sees, and the end of the stream.
    func expectFault(_ code: Int, _ location: SourceLocation = #_sourceLocation) throws {
        let events = events()
        guard case .closed(let seen, _)? = events.last else {
            Issue.record("no end after \(events)", sourceLocation: location)
            return
        }
        #expect(seen.rawValue == code, sourceLocation: location)
        #expect(try frames().last?.code == code, sourceLocation: location)
        #expect(connection.disposition == .close, sourceLocation: location)
        #expect(connection.connectionError != nil, sourceLocation: location)
        #expect(connection.deadline == nil, sourceLocation: location)
    }
}

extension WebSocketEvent {
    static func text(_ text: String, more: Bool = false) -> WebSocketEvent { .message(.text(text), more: more) }

    static func binary(_ bytes: [UInt8], more: Bool = false) -> WebSocketEvent {
        .message(.binary(Bytes(bytes)), more: more)
    }
}
