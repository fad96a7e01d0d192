import ApusGateway

extension WebSocketConnection {
    /// A ping of ours: without a payload, since any sign of life answers it.
    private static let ping = Bytes([0x80 | FrameOpcode.ping.rawValue, 0])

    /// Sends a message; or a fragment of one, where `more` is true or the one before had it, of the same kind then. After
    /// the Close frame nothing is sent.
    package func send(_ message: WebSocketMessage, more: Bool, now: Instant) {
        guard phase == .open else { return }
        timers.lastMessage = now
        switch message {
        case .text(var text):
            text.withUTF8 { utf8 in
                let payload = UnsafeRawBufferPointer(utf8)
                if !sendCompressed(.text, payload, more) {
                    append(.text, more, isCompressed: false) { opcode in
                        // The text's memory cannot be kept: it is copied behind its head, whatever its size.
                        OutgoingFrame(opcode, isFinal: !more, copying: payload)
                    }
                }
            }
        case .binary(let bytes):
            if !sendCompressed(.binary, bytes.memory, more) {
                append(.binary, more, isCompressed: false) { opcode in
                    OutgoingFrame(opcode, isFinal: !more, payload: bytes)
                }
            }
        }
    }

    /// Whether there is output to be taken.
    package var hasOutput: Bool {
        !output.isEmpty || !pongs.isEmpty || pingIsWaiting || outputPayload != nil
    }

    /// The next piece of the output; nil where there is none. Control frames of ours go between the frames of messages.
    package func nextOutput() -> Bytes? {
        if let payload = outputPayload {
            outputPayload = nil
            return payload
        }
        if pingIsWaiting {
            pingIsWaiting = false
            return Self.ping
        }
        guard let frame = pongs.removeFirst() ?? output.removeFirst() else { return nil }
        outputPayload = frame.payload
        return frame.head
    }

    // MARK: Messages

    /// Sends what shrinks compressed; false where it goes out as it is.
    private func sendCompressed(_ opcode: FrameOpcode, _ payload: UnsafeRawBufferPointer, _ more: Bool) -> Bool {
        guard let deflate, outgoing != .plain else { return false }
        let compressed: Bytes?
        if outgoing == .compressed {
            compressed = deflater?.resume(payload, isLast: !more)
        } else {
            guard payload.count >= MessageDeflater.leastSize else { return false }
            if deflater == nil { deflater = MessageDeflater(deflate) }
            compressed = deflater?.start(payload, isLast: !more)
        }
        guard let compressed else { return false }
        let isFirst = outgoing == .none
        append(opcode, more, isCompressed: true) { opcode in
            // RFC 7692 §6.1: RSV1 stands on the first frame alone.
            OutgoingFrame(opcode, isFinal: !more, isCompressed: isFirst, payload: compressed)
        }
        return true
    }

    /// Puts a frame of a message into the output, with the opcode that its place asks for (RFC 6455 §5.4).
    private func append(
        _ opcode: FrameOpcode,
        _ more: Bool,
        isCompressed: Bool,
        _ makeFrame: (FrameOpcode) -> OutgoingFrame
    ) {
        output.append(makeFrame(outgoing == .none ? opcode : .continuation))
        if more {
            if outgoing == .none { outgoing = isCompressed ? .compressed : .plain }
        } else {
            outgoing = .none
        }
    }
}
