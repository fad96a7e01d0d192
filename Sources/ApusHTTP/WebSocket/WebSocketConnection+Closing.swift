import ApusGateway

extension WebSocketConnection {
    // MARK: Control frames of the peer's

    /// A control frame has come, whole.
    func receiveControlFrame(_ opcode: FrameOpcode, _ payload: [UInt8]) throws(WebSocketFault) {
        switch opcode {
        case .ping:
            if phase == .open { answerPing(payload) }
        case .close:
            try receiveClose(payload)
        case .pong, .continuation, .text, .binary:
            // A pong is a sign of life like any other bytes; one that nobody asked for is allowed (RFC 6455 §5.5.3).
            break
        }
    }

    /// RFC 6455 §5.5.3: a pong has the ping's payload; of several pings, the newest may be answered alone.
    private func answerPing(_ payload: [UInt8]) {
        let pong = payload.withUnsafeBytes { OutgoingFrame(.pong, copying: $0) }
        if pongs.count < Self.maxWaitingPongs {
            pongs.append(pong)
        } else {
            pongs.replaceLast(pong)
        }
    }

    /// RFC 6455 §5.5.1: the answer, unless ours went first, echoes the code.
    private func receiveClose(_ payload: [UInt8]) throws(WebSocketFault) {
        let close =
            try payload.withUnsafeBytes { bytes in
                Result { () throws(WebSocketFault) in try ClosePayload(bytes) }
            }
            .get()
        if phase == .open { sendClose(close.code, reason: "") }
        end(close.code, reason: close.reason, .close)
    }

    // MARK: Our Close

    /// Says goodbye: from here on nothing is sent, and nothing of the peer's is taken but its Close frame, for which it has
    /// `closeTimeout`. What waits in the output goes before.
    ///
    /// - Parameters:
    ///   - code: Where it may not be sent, the frame has none.
    ///   - reason: At most ``ClosePayload/maxReason`` bytes; what is longer is cut.
    package func close(_ code: WebSocketCloseCode, reason: String, now: Instant) {
        guard phase == .open else { return }
        sendClose(code, reason: reason)
        phase = .closing
        timers.startClosing(now)
        forgetMessage()
        if let heldFault { fail(heldFault) }
    }

    /// A fault of the peer's: what came before it can still be answered, until the application asks for more or
    /// `closeTimeout` is over.
    func failInTurn(_ fault: WebSocketFault, _ now: Instant) {
        guard phase == .open, isAnswering || !events.isEmpty else {
            fail(fault)
            return
        }
        heldFault = fault
        timers.startClosing(now)
        forgetMessage()
    }

    /// The application asks for more: it has answered what it was going to.
    func answersAreGiven() {
        isAnswering = false
        if let heldFault, events.isEmpty { fail(heldFault) }
    }

    /// A peer that broke a rule: our Close frame says which, and its own is not waited for (RFC 6455 §7.1.7).
    func fail(_ fault: WebSocketFault) {
        connectionError = fault.connectionError
        guard phase == .open else {
            // Ours is said already.
            end(.abnormalClosure, reason: "", .close)
            return
        }
        sendClose(fault.code, reason: fault.reason)
        end(fault.code, reason: fault.reason, .close)
    }

    private func sendClose(_ code: WebSocketCloseCode, reason: String) {
        output.append(ClosePayload(code, reason: reason).frame)
        pingIsWaiting = false
        deflater = nil
    }

    // MARK: Time

    /// The peer is still taking what goes before our Close frame: it has `closeTimeout` from now on.
    package func awaitCloseOn(now: Instant) {
        if phase == .closing { timers.startClosing(now) }
    }

    /// When ``handleTimeout(now:)`` is to be called; nil where nothing is waited for.
    package var deadline: Instant? { timers.earliest }

    /// The peer takes what was sent before: our last ping may still lie behind that, and its time begins anew.
    package func outputMoved() {
        timers.hasPaused = true
    }

    package func handleTimeout(now: Instant) {
        switch timers.due(now, isReading: wantsInput, pingIsWaiting: pingIsWaiting, isBusy: holdsData) {
        case .nothing:
            break
        case .ping:
            pingIsWaiting = true
        case .pongMissing:
            abort("no answer to a ping", close: .internalError)
        case .idle:
            close(.goingAway, reason: "idle for too long", now: now)
        case .age:
            close(.goingAway, reason: "open for long enough", now: now)
        case .closeMissing:
            if let heldFault { fail(heldFault) } else { abort("no answer to the Close frame", close: nil) }
        }
    }

    /// A silent peer: whether it can still read is not known, but what may help it to know is tried.
    private func abort(_ cause: String, close code: WebSocketCloseCode?) {
        connectionError = ConnectionError(.timeout, "websocket: \(cause)")
        if let code { sendClose(code, reason: cause) }
        end(.abnormalClosure, reason: "", .abort)
    }
}
