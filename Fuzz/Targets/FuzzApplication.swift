import ApusGateway
import ApusHTTP

/// The application's side of a connection, and the promises made to it.
struct FuzzApplication {
    /// How much zlib may bring behind the bound: what it has taken in already.
    private static let slack = 1024

    let connection: WebSocketConnection
    private let setup: FuzzSetup
    /// What was sent, message by message; the last one is under way where `isSending`.
    private(set) var sent: [Message] = []
    var isSending = false
    /// Whether it was told that the WebSocket is over.
    private(set) var isOver = false
    private(set) var closeCode: WebSocketCloseCode?
    /// The messages that came whole, or in pieces up to their end.
    private(set) var received: [Message] = []
    /// The message that comes in pieces, so far.
    private var underWay: Message?
    /// Whether the connection was awaited since everything was taken last: one message may then be larger.
    private var wasAwaited = false
    /// Messages and pieces that were taken since bytes were given last.
    private var takenCount = 0

    struct Message: Hashable {
        let isText: Bool
        var bytes: [UInt8]
        var isWhole = true
    }

    init(_ setup: FuzzSetup, now: Instant) {
        self.setup = setup
        connection = WebSocketConnection(
            options: setup.options,
            deflate: setup.deflate,
            delivery: setup.delivery,
            now: now
        )
    }

    // MARK: What comes

    /// Gives bytes of the peer's, and says how many were taken.
    mutating func receive(_ bytes: ArraySlice<UInt8>, _ now: Instant) throws(FuzzFinding) -> Int {
        takenCount = 0
        wasAwaited = wasAwaited || connection.isAwaited
        let wantedInput = connection.wantsInput
        let used = bytes.withUnsafeBytes { connection.receive($0, now: now) }
        try promise(used >= 0 && used <= bytes.count, "no more is taken than given")
        try promise(wantedInput || used == 0, "nothing is taken that is not wanted")
        try promise(used == bytes.count || !connection.wantsInput, "what is wanted is taken")
        let large = wasAwaited ? setup.options.maxMessageSize : 0
        try promise(
            connection.heldBytes <= setup.options.maxQueuedBytes + large + Self.slack,
            "the bytes that wait are bounded"
        )
        return used
    }

    /// Takes some events, and says how many there were.
    @discardableResult
    mutating func take(_ count: Int) throws(FuzzFinding) -> Int {
        var taken = 0
        while taken < count {
            let heldBytes = connection.heldBytes
            guard let event = connection.nextEvent() else {
                // The message under way may have grown already.
                wasAwaited = connection.heldBytes > setup.options.maxQueuedBytes
                break
            }
            taken += 1
            try promise(!isOver, "nothing comes after the end")
            switch event {
            case .closed(let code, let reason):
                try promise(connection.disposition != .open, "the end has a disposition")
                try promise(reason.utf8.count <= 125, "a reason is one that a frame can have")
                isOver = true
                closeCode = code
            case .message(let message, let more):
                try promise(
                    connection.heldBytes == heldBytes - message.byteCount,
                    "what is taken is not held any more"
                )
                try take(message, more)
            }
        }
        return taken
    }

    private mutating func take(_ message: WebSocketMessage, _ more: Bool) throws(FuzzFinding) {
        try promise(!more || setup.delivery == .fragments, "messages come whole where they should")
        let piece = Message(message)
        takenCount += 1
        // Behind the queue comes a piece of the message under way.
        try promise(takenCount <= setup.options.maxQueuedMessages + 1, "the messages that wait are bounded")
        if setup.delivery == .fragments {
            try promise(piece.bytes.count <= WebSocketConnection.maxPiece, "a piece is not too large")
        }
        var whole = underWay ?? Message(isText: piece.isText, bytes: [])
        // Not a second reference to what grows.
        underWay = nil
        try promise(whole.isText == piece.isText, "the pieces of a message are of one kind")
        whole.bytes += piece.bytes
        try promise(whole.bytes.count <= setup.options.maxMessageSize, "a message is not too large")
        underWay = more ? whole : nil
        if !more { received.append(whole) }
    }

    // MARK: What goes

    /// Sends a message, or the next piece of one.
    mutating func send(_ script: inout FuzzScript, _ now: Instant) {
        let kind = script.byte()
        let piece = script.bytes(script.number(below: 256))
        let bytes = Array(repeatElement(piece, count: 1 + Int(kind >> 4) * 8).joined())
        let more = kind & 1 != 0
        let isText = isSending ? sent.last?.isText == true : kind & 2 != 0
        let message: WebSocketMessage = isText ? .text(String(decoding: bytes, as: UTF8.self)) : .binary(Bytes(bytes))
        // Behind a Close frame of either side nothing goes out.
        if connection.isOpen {
            if !isSending { sent.append(Message(isText: isText, bytes: [])) }
            sent[sent.count - 1].bytes += Message(message).bytes
            sent[sent.count - 1].isWhole = !more
            isSending = more
        }
        connection.send(message, more: more, now: now)
    }
}

extension FuzzApplication.Message {
    init(_ message: WebSocketMessage) {
        switch message {
        case .text(let text): self.init(isText: true, bytes: Array(text.utf8))
        case .binary(let bytes): self.init(isText: false, bytes: Array(bytes))
        }
    }
}
