/// Something that the server has said in a WebSocket.
package enum WebSocketReply: Sendable, Equatable {
    case text([UInt8])
    case binary([UInt8])
    case ping([UInt8])
    case pong([UInt8])
    /// Nil for a Close frame without a code.
    case close(Int?, reason: [UInt8] = [])
    /// The end of the stream.
    case end
    case reset
}

/// Reads a server's frames, and is strict: whatever a server must not send is a failure.
package struct WebSocketReader {
    private var bytes: [UInt8] = []
    private var start = 0
    private var message: (opcode: UInt8, isCompressed: Bool, payload: [UInt8])?
    private var isClosed = false
    private var inflater: ClientInflater?
    /// Compressed messages so far.
    package private(set) var compressedCount = 0

    /// - Parameter inflater: For permessage-deflate, where that is agreed.
    init(inflater: ClientInflater?) {
        self.inflater = inflater
    }

    mutating func append(_ more: [UInt8]) {
        if start > 0 { bytes.removeFirst(start) }
        start = 0
        bytes += more
    }

    /// Whether the bytes so far end with a frame; a stream may end in order only there.
    var isBetweenFrames: Bool { start == bytes.count }

    /// The next message or control frame that is complete.
    mutating func next() throws -> WebSocketReply? {
        while let frame = try nextFrame() {
            guard !isClosed else { throw ClientFailure("a frame follows the server's Close frame") }
            if frame.opcode >= WebSocketFrame.Opcode.close { return try control(frame) }
            if let reply = try data(frame) { return reply }
        }
        return nil
    }

    // MARK: Frames

    private mutating func nextFrame() throws -> WebSocketFrame? {
        let waiting = bytes[start...]
        guard waiting.count >= 2 else { return nil }
        let (first, second) = (waiting[start], waiting[start + 1])
        guard second & 0x80 == 0 else { throw ClientFailure("a server's frame is masked") }
        guard let (length, head) = try length(second & 0x7F), waiting.count >= head + length else { return nil }
        var frame = WebSocketFrame(first & 0x0F, Array(waiting.dropFirst(head).prefix(length)))
        frame.isFinal = first & 0x80 != 0
        frame.reserved = first >> 4 & 0x7
        start += head + length
        return frame
    }

    /// The length of the payload and of the head; nil where they have not come yet.
    private func length(_ short: UInt8) throws -> (Int, Int)? {
        let count = short == 126 ? 2 : short == 127 ? 8 : 0
        guard count > 0 else { return (Int(short), 2) }
        guard bytes.count - start >= 2 + count else { return nil }
        let length = bytes[start + 2..<start + 2 + count].reduce(0) { $0 << 8 | UInt64($1) }
        // RFC 6455 §5.2: the shortest form.
        guard length >= (count == 2 ? 126 : 65536), length < 1 << 32 else {
            throw ClientFailure("a length of \(length) in \(count) bytes")
        }
        return (Int(length), 2 + count)
    }

    private mutating func control(_ frame: WebSocketFrame) throws -> WebSocketReply {
        guard frame.isFinal, frame.reserved == 0, frame.payload.count <= 125 else {
            throw ClientFailure("a control frame that is fragmented, too long or has a reserved bit")
        }
        switch frame.opcode {
        case WebSocketFrame.Opcode.ping: return .ping(frame.payload)
        case WebSocketFrame.Opcode.pong: return .pong(frame.payload)
        case WebSocketFrame.Opcode.close:
            isClosed = true
            guard !frame.payload.isEmpty else { return .close(nil) }
            guard frame.payload.count >= 2 else { throw ClientFailure("a Close frame with one byte") }
            let code = Int(frame.payload[0]) << 8 | Int(frame.payload[1])
            return .close(code, reason: Array(frame.payload[2...]))
        default: throw ClientFailure("an opcode of \(frame.opcode)")
        }
    }

    private mutating func data(_ frame: WebSocketFrame) throws -> WebSocketReply? {
        guard frame.opcode <= WebSocketFrame.Opcode.binary else { throw ClientFailure("an opcode of \(frame.opcode)") }
        let isFirst = frame.opcode != WebSocketFrame.Opcode.continuation
        guard isFirst == (message == nil) else { throw ClientFailure("fragments out of order") }
        // RFC 7692 §6.1: RSV1 on the first frame of a compressed message, and nowhere else.
        guard frame.reserved == 0 || frame.reserved == 4 && isFirst && inflater != nil else {
            throw ClientFailure("reserved bits \(frame.reserved)")
        }
        if isFirst { message = (frame.opcode, frame.reserved != 0, []) }
        message?.payload += frame.payload
        guard frame.isFinal, let (opcode, isCompressed, payload) = message else { return nil }
        message = nil
        if isCompressed { compressedCount += 1 }
        let whole = isCompressed ? try inflater?.inflate(payload) ?? [] : payload
        return opcode == WebSocketFrame.Opcode.text ? .text(whole) : .binary(whole)
    }
}
