import ApusGateway

extension WebSocketConnection {
    /// Takes bytes of the peer's, and says how many: fewer than given only where it no longer ``wantsInput``. The rest is
    /// to be given again, with what has come since behind it.
    package func receive(_ bytes: UnsafeRawBufferPointer, now: Instant) -> Int {
        guard bytes.count > 0 else { return 0 }
        timers.lastHeard = now
        var used = 0
        do {
            while used < bytes.count, phase != .ended, heldFault == nil, wantsInput {
                let rest = UnsafeRawBufferPointer(rebasing: bytes[used...])
                used += try frame == nil ? startFrame(rest, now) : receivePayload(rest, now)
            }
        } catch {
            failInTurn(error, now)
        }
        // RFC 6455 §5.5.1, §7.1.7: nothing behind a Close frame or a fault is looked at.
        if phase == .ended || heldFault != nil { return bytes.count }
        notePause()
        return used
    }

    /// The stream has ended or was lost, and all of its bytes were given. Without a Close frame before it that is 1006.
    package func receiveEnd(now: Instant) {
        guard phase != .ended else { return }
        if let heldFault {
            fail(heldFault)
            return
        }
        connectionError = ConnectionError(.peerGone, "websocket: the peer left without a Close frame")
        end(.abnormalClosure, reason: "", .close)
    }

    // MARK: Frames

    /// Reads a frame's head, and of a small message all of it; says how many bytes that used.
    private func startFrame(_ input: UnsafeRawBufferPointer, _ now: Instant) throws(WebSocketFault) -> Int {
        var used = 0
        guard let header = try decoder.decode(input, used: &used) else { return used }
        if phase == .open {
            try header.opcode.isControl ? countControlFrame(header, now) : startFragment(header)
            if let whole = try wholeMessage(header, input, used) {
                deliver(whole, more: false)
                timers.lastMessage = now
                return used + header.count
            }
        }
        frame = IncomingFrame(
            opcode: header.opcode,
            isFinal: header.isFinal,
            remaining: header.count,
            key: header.key
        )
        if header.count == 0 { try endFrame(now) }
        return used
    }

    private func countControlFrame(_ header: FrameHeader, _ now: Instant) throws(WebSocketFault) {
        guard header.opcode != .close else { return }
        guard controlFrames.take(now) else { throw .tooManyControlFrames }
    }

    /// A frame of a message: checks its place, and what it announces, before any of its payload is taken.
    private func startFragment(_ header: FrameHeader) throws(WebSocketFault) {
        if header.opcode == .continuation {
            // RFC 6455 §5.4.
            guard let fragments = message?.fragments else { throw .continuationWithoutStart }
            guard fragments < options.maxFragments else { throw .tooManyFragments }
            message?.fragments = fragments + 1
        } else {
            // RFC 6455 §5.4: the fragments of one message are not mixed with those of another.
            guard message == nil else { throw .messageWithinMessage }
            message = IncomingMessage(isText: header.opcode == .text, isCompressed: header.isCompressed)
        }
        guard header.count <= options.maxFrameSize else { throw .frameTooBig }
        guard let message, !message.isCompressed else { return }
        guard header.count <= options.maxMessageSize - message.size else { throw .messageTooBig }
    }

    /// The message, where it is one frame, not compressed, and all in the input: by far the most frequent case, which needs
    /// no memory but the message's own.
    private func wholeMessage(
        _ header: FrameHeader,
        _ input: UnsafeRawBufferPointer,
        _ start: Int
    ) throws(WebSocketFault) -> WebSocketMessage? {
        guard header.isFinal, header.opcode == .text || header.opcode == .binary, !header.isCompressed else {
            return nil
        }
        guard header.count <= input.count - start, header.count <= allowance else { return nil }
        guard delivery == .messages || header.count <= Self.maxPiece else { return nil }
        message = nil
        let payload = UnsafeRawBufferPointer(rebasing: input[start..<start + header.count])
        guard header.opcode == .text else { return .binary(unmaskedBytes(payload, header.key)) }
        guard let text = unmaskedText(payload, header.key) else { throw .invalidText }
        return .text(text)
    }

    /// Takes payload of the frame under way.
    private func receivePayload(_ input: UnsafeRawBufferPointer, _ now: Instant) throws(WebSocketFault) -> Int {
        guard let frame else { return 0 }
        let available = UnsafeRawBufferPointer(rebasing: input[..<min(input.count, frame.remaining)])
        let used: Int
        if frame.opcode.isControl {
            used = receiveControlPayload(available)
        } else if phase != .open {
            // RFC 6455 §1.4: after our Close frame data is thrown away.
            used = available.count
        } else if message?.isCompressed == true {
            timers.lastMessage = now
            used = try inflatePayload(available)
        } else {
            timers.lastMessage = now
            used = try receiveData(available, frame)
        }
        self.frame?.remaining -= used
        if used == frame.remaining { try endFrame(now) }
        return used
    }

    private func receiveControlPayload(_ input: UnsafeRawBufferPointer) -> Int {
        let start = controlPayload.count
        controlPayload.append(contentsOf: input)
        controlPayload.withUnsafeMutableBytes { bytes in
            guard let target = bytes.baseAddress else { return }
            self.frame?.key.unmask(input, into: target + start)
        }
        return input.count
    }

    private func receiveData(_ input: UnsafeRawBufferPointer, _ frame: IncomingFrame) throws(WebSocketFault) -> Int {
        let count = min(input.count, allowance, roomInPiece)
        let part = UnsafeRawBufferPointer(rebasing: input[..<count])
        var key = frame.key
        try message?.append(part, key: &key, limit: frame.isFinal ? frame.remaining : nil)
        self.frame?.key = key
        deliverFullPiece()
        return count
    }

    /// The frame under way is complete.
    private func endFrame(_ now: Instant) throws(WebSocketFault) {
        guard let frame else { return }
        self.frame = nil
        if frame.opcode.isControl {
            let payload = controlPayload
            controlPayload = []
            try receiveControlFrame(frame.opcode, payload)
        } else if phase == .open, frame.isFinal {
            timers.lastMessage = now
            try endMessage()
        }
    }

    private func endMessage() throws(WebSocketFault) {
        if message?.isCompressed == true { try finishInflating() }
        if let rest = try message?.takeRest() { deliver(rest, more: false) }
        message = nil
    }

    // MARK: Pieces

    /// How many bytes the piece that is being gathered may still take.
    var roomInPiece: Int {
        guard delivery == .fragments, let message else { return .max }
        return Self.maxPiece - message.heldCount
    }

    /// In fragments: delivers what has become as large as a piece may be. What is smaller waits until the application asks,
    /// so that small fragments become few events.
    func deliverFullPiece() {
        guard roomInPiece <= 0, let piece = message?.takePiece() else { return }
        deliver(piece, more: true)
    }
}

/// The payload of a frame, unmasked.
private func unmaskedBytes(_ payload: UnsafeRawBufferPointer, _ key: MaskKey) -> Bytes {
    Bytes(count: payload.count) { target in
        var key = key
        if let start = target.baseAddress { key.unmask(payload, into: start) }
    }
}

/// The payload of a frame, unmasked, as text; nil where it is not UTF-8.
private func unmaskedText(_ payload: UnsafeRawBufferPointer, _ key: MaskKey) -> String? {
    var isValid = true
    let text = String(unsafeUninitializedCapacity: payload.count) { target in
        guard let start = target.baseAddress, payload.count > 0 else { return 0 }
        // `target` has room for at least the capacity that was asked for.
        var key = key
        key.unmask(payload, into: UnsafeMutableRawPointer(start))
        var validator = UTF8Validator()
        let unmasked = UnsafeRawBufferPointer(start: start, count: payload.count)
        isValid = validator.validate(unmasked) && validator.isComplete
        return isValid ? payload.count : 0
    }
    return isValid ? text : nil
}
