import ApusGateway
import ApusHTTP

/// A WebSocket's framing, with everybody around it at the script's command: the peer, the application, the clock, and the
/// driver that takes the output.
///
/// The input: three bytes for what was agreed on and the bounds, then steps, each a byte and what it needs.
struct ConnectionFuzz {
    /// Bytes of the peer's in one run at most.
    private static let most = 1 << 17

    private let setup: FuzzSetup
    private var script: FuzzScript
    private var application: FuzzApplication
    private let peer: PeerDeflater
    private var now = Instant(nanoseconds: 1_000_000_000)
    /// Bytes of the peer's that the connection has not taken.
    private var pending: [UInt8] = []
    /// All bytes of the peer's.
    private var wire: [UInt8] = []
    private var output: [UInt8] = []
    private var hasStreamEnded = false

    static func run(_ bytes: [UInt8]) throws(FuzzFinding) {
        var run = ConnectionFuzz(bytes)
        while !run.script.isAtEnd { try run.step() }
        try run.finish()
        try SplitFuzz.run(run.wire, run.setup)
    }

    private init(_ bytes: [UInt8]) {
        script = FuzzScript(bytes)
        setup = FuzzSetup(&script)
        application = FuzzApplication(setup, now: now)
        peer = PeerDeflater(windowBits: max(setup.deflate?.clientMaxWindowBits ?? 15, 9))
    }

    private var connection: WebSocketConnection { application.connection }

    // MARK: Steps

    private mutating func step() throws(FuzzFinding) {
        switch script.byte() & 15 {
        case 0: try receive(script.bytes(script.number(below: 256)))
        case 1, 2, 3: try receive(frame(script.byte(), script.bytes(script.number(below: 256))))
        case 4: try receiveLarge()
        case 5, 6: try receiveCompressed()
        case 7: try pass(quarters: script.number(below: 256))
        case 8: connection.isAwaited = true
        case 9: connection.isAwaited = false
        case 10: try application.take(1 + script.number(below: 4))
        case 11: try takeOutput(1 + script.number(below: 8))
        case 12, 13: application.send(&script, now)
        case 14: try close()
        default: try receiveEnd()
        }
        if connection.disposition != .open {
            try promise(connection.deadline == nil, "what has ended waits for nothing")
        }
    }

    /// A frame as clients send it, but for what its first byte says.
    private func frame(_ first: UInt8, _ payload: [UInt8]) -> [UInt8] {
        let key: [UInt8] = [0x37, 0xFA, 0x21, UInt8(truncatingIfNeeded: wire.count)]
        let masked = payload.enumerated().map { $1 ^ key[$0 & 3] }
        return [first] + FuzzFrames.length(payload.count, mask: 0x80) + key + masked
    }

    private mutating func receiveLarge() throws(FuzzFinding) {
        let first = script.byte()
        let payload = [UInt8](repeating: script.byte(), count: script.number(below: 70_000))
        try receive(frame(first, payload))
    }

    /// A message that is compressed as it should be, in one frame or two.
    private mutating func receiveCompressed() throws(FuzzFinding) {
        let kind = script.byte()
        let piece = script.bytes(script.number(below: 256))
        let message = Array(repeatElement(piece, count: 1 + Int(kind >> 2) * 16).joined())
        let payload = peer.message(message)
        let opcode = 1 + (kind & 1)
        guard kind & 2 != 0 else { return try receive(frame(0xC0 | opcode, payload)) }
        let half = payload.count / 2
        try receive(frame(0x40 | opcode, Array(payload[..<half])) + frame(0x80, Array(payload[half...])))
    }

    private mutating func receive(_ bytes: [UInt8]) throws(FuzzFinding) {
        guard !hasStreamEnded, wire.count + bytes.count <= Self.most else { return }
        wire += bytes
        pending += bytes
        try feed()
    }

    private mutating func feed() throws(FuzzFinding) {
        pending.removeFirst(try application.receive(pending[...], now))
    }

    private mutating func receiveEnd() throws(FuzzFinding) {
        // A driver says so when everything before has been given.
        guard pending.isEmpty else { return }
        hasStreamEnded = true
        connection.receiveEnd(now: now)
        try promise(connection.disposition != .open, "a stream's end ends the WebSocket")
    }

    private mutating func pass(quarters: Int) throws(FuzzFinding) {
        now = now + .milliseconds(UInt64(quarters) * 250)
        var rounds = 0
        while let deadline = connection.deadline, deadline <= now {
            connection.handleTimeout(now: now)
            rounds += 1
            try promise(rounds <= 8, "a timeout moves its deadline on")
        }
    }

    private mutating func close() throws(FuzzFinding) {
        let code = WebSocketCloseCode(rawValue: 990 + 16 * script.number(below: 256))
        let reason = String(repeating: "ä", count: script.number(below: 100))
        connection.close(code, reason: reason, now: now)
        try promise(!connection.isOpen, "close() closes")
    }

    private mutating func takeOutput(_ count: Int) throws(FuzzFinding) {
        for _ in 0..<count {
            guard let piece = connection.nextOutput() else { return }
            try promise(!piece.isEmpty, "no piece of the output is empty")
            output += piece
        }
    }

    // MARK: The end

    /// An application that waits, and takes everything, gets everything; then the output is read as a client does.
    private mutating func finish() throws(FuzzFinding) {
        connection.isAwaited = true
        try application.take(.max)
        while !pending.isEmpty {
            let before = pending.count
            try feed()
            let taken = try application.take(.max)
            try promise(pending.count < before || taken > 0, "the connection goes on when the application takes all")
        }
        try application.take(.max)
        connection.isAwaited = true
        try application.take(.max)
        try takeOutput(.max)
        try checkEnd(OutputReader(output, setup, application.sent))
    }

    private func checkEnd(_ reader: OutputReader) throws(FuzzFinding) {
        let isOver = connection.disposition != .open
        try promise(isOver == application.isOver, "the application hears of the end")
        let whole = application.sent.count { $0.isWhole }
        try promise(reader.messageCount == whole, "all that is sent arrives")
        try promise(!connection.isOpen || !reader.hasClosed, "nobody closes by chance")
        // Only a stream that is gone ends without.
        try promise(connection.isOpen || hasStreamEnded || reader.hasClosed, "a Close frame goes before the end")
    }
}

/// What was agreed on and the bounds, by three bytes of a script.
struct FuzzSetup {
    let delivery: WebSocketDelivery
    let deflate: PerMessageDeflate?
    var options = WebSocketOptions()

    init(_ script: inout FuzzScript) {
        let first = script.byte()
        let second = script.byte()
        let third = script.byte()
        delivery = first & 1 == 0 ? .messages : .fragments
        deflate = first & 2 == 0 ? nil : FuzzAgreement.agreed(first >> 2)
        func pick<Value>(_ byte: UInt8, _ shift: UInt8, _ values: [Value]) -> Value { values[Int(byte >> shift & 3)] }
        options.maxMessageSize = pick(second, 0, [65_536, 1000, 20, 300_000])
        options.maxFrameSize = pick(second, 2, [65_536, 1000, 30, 300_000])
        options.maxFragments = pick(second, 4, [1000, 3, 1, 50])
        options.controlFrameBurst = pick(second, 6, [1000, 3, 1, 0])
        options.maxQueuedMessages = pick(third, 0, [32, 1, 2, 5])
        options.maxQueuedBytes = pick(third, 2, [65_536, 100, 1, 5000])
        options.pingInterval = pick(third, 4, [20, nil, 1, 5])
        options.pingTimeout = pick(third, 6, [20, nil, 2, 5])
        options.idleTimeout = pick(third, 6, [nil, 30, nil, 3])
        options.maxAge = pick(third, 4, [nil, 60, nil, 5])
        options.closeTimeout = 2
    }
}
