import ApusGateway

/// A message of the peer's on its way in, as long as it is not complete.
struct IncomingMessage {
    let isText: Bool
    /// Whether its payload is compressed, all frames of it (RFC 7692 §6).
    let isCompressed: Bool
    /// Frames so far.
    var fragments = 1
    /// Bytes of it so far, inflated, those that were delivered included.
    private(set) var size = 0
    /// What has not been delivered; nil where that is nothing.
    private var buffer: PayloadBuffer?
    private var validator = UTF8Validator()

    init(isText: Bool, isCompressed: Bool) {
        self.isText = isText
        self.isCompressed = isCompressed
    }

    /// Bytes that wait for the rest of the message, or for a piece to be made of them.
    var heldCount: Int { buffer?.count ?? 0 }

    /// Bytes that a piece could be made of: without the character that has only begun.
    var deliverableCount: Int { heldCount - (isText ? validator.unfinished : 0) }

    /// Takes bytes that the peer has masked.
    ///
    /// - Parameter limit: How many bytes of the message follow at most, these included, where that is known.
    mutating func append(
        _ masked: UnsafeRawBufferPointer,
        key: inout MaskKey,
        limit: Int?
    ) throws(WebSocketFault) {
        let buffer = openBuffer()
        buffer.append(masked, key: &key, limit: limit)
        try take(masked.count, of: buffer)
    }

    /// Takes up to `room` bytes that `fill` writes.
    mutating func append(
        room: Int,
        _ fill: (UnsafeMutableRawBufferPointer) -> MessageInflater.Step
    ) throws(WebSocketFault) -> MessageInflater.Step {
        let buffer = openBuffer()
        var step = MessageInflater.Step(consumed: 0, produced: 0, progress: .needsInput)
        buffer.withRoom(room, limit: nil) { target in
            step = fill(target)
            return step.produced
        }
        try take(step.produced, of: buffer)
        return step
    }

    private mutating func openBuffer() -> PayloadBuffer {
        if let buffer { return buffer }
        let buffer = PayloadBuffer()
        self.buffer = buffer
        return buffer
    }

    /// Counts and checks what was appended: text is found wrong at once (RFC 6455 §8.1), not at its end.
    private mutating func take(_ count: Int, of buffer: PayloadBuffer) throws(WebSocketFault) {
        size += count
        guard isText else { return }
        guard validator.validate(buffer.bytes(from: buffer.count - count)) else { throw .invalidText }
    }

    /// A piece of what is held: all of it, but for a character that has only begun.
    mutating func takePiece() -> WebSocketMessage {
        guard let buffer else { return isText ? .text("") : .binary(Bytes()) }
        guard isText else {
            self.buffer = nil
            return .binary(buffer.takeBytes())
        }
        let text = buffer.takeText(upTo: deliverableCount)
        if buffer.count == 0 { self.buffer = nil }
        return .text(text)
    }

    /// The last piece, or the whole message where nothing was delivered before.
    mutating func takeRest() throws(WebSocketFault) -> WebSocketMessage {
        guard validator.isComplete else { throw .invalidText }
        return takePiece()
    }
}
