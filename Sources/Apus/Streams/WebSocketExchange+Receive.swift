import ApusGateway
import ApusHTTP

// The peer's side: bytes go into the framing as far as it wants them, messages come out as the application asks.
extension WebSocketExchange {
    /// The next event where there is one now; nil where the application must wait.
    func nextEvent() -> ReceiveEvent? {
        if phase == .denied { return deniedEvent }
        if !hasToldConnect {
            hasToldConnect = true
            return .webSocketConnect
        }
        guard let connection else { return farewell }
        if let event = takeEvent(connection) {
            advance()
            return event
        }
        // Now a message may grow as large as one may be, and the window opens for all of it.
        connection.isAwaited = true
        advance()
        guard let event = takeEvent(connection) else { return nil }
        notAwaited()
        return event
    }

    /// As on HTTP: there is nothing before the response is complete, and nothing but the end behind it.
    private var deniedEvent: ReceiveEvent? {
        let isAnswered = stream.clientGone || stream.phase == .complete || stream.phase == .failed
        return isAnswered ? lastEvent : nil
    }

    /// What every further `receive` gives once it is all over.
    var lastEvent: ReceiveEvent {
        if let farewell { return farewell }
        return isAccepted ? .webSocketDisconnect(code: .abnormalClosure, reason: "") : .disconnect
    }

    /// The application no longer waits for a message.
    func notAwaited() {
        connection?.isAwaited = false
    }

    private func takeEvent(_ connection: WebSocketConnection) -> ReceiveEvent? {
        switch connection.nextEvent() {
        case .message(let message, let more):
            hasTakenMessage = true
            return .webSocketReceive(message, more: more)
        case .closed(let code, let reason):
            // Where the server goes, the application has been told why.
            if farewell == nil { farewell = .webSocketDisconnect(code: code, reason: reason) }
        case nil:
            break
        }
        if farewell != nil, !knowsOfEnd {
            knowsOfEnd = true
            // What was still to be done is done.
            if phase == .over, connection.closeCode != .abnormalClosure { stream.endGrace() }
        }
        return farewell
    }

    // MARK: - From the driver

    func bytesArrived(_ piece: Bytes) {
        switch phase {
        case .connecting:
            stream.waitingBody.append(piece)
        case .open, .ending:
            take(piece)
            advance()
        case .denied:
            // Held back while the answer is under way, as a body that nobody reads; nobody will read it afterwards.
            if stream.phase == .complete { stream.driver?.consumed(piece.count, on: stream.id) }
        case .over:
            stream.driver?.consumed(piece.count, on: stream.id)
        }
    }

    /// Gives the framing what has come; what it does not want yet waits, as does what came before.
    private func take(_ piece: Bytes) {
        guard stream.waitingBody.isEmpty, let connection, connection.wantsInput else {
            stream.waitingBody.append(piece)
            return
        }
        let used = piece.withUnsafeBytes { connection.receive($0, now: now) }
        owedCredit += used
        if used < piece.count { stream.waitingBody.append(piece.dropFirst(used)) }
    }

    /// The peer has ended its side of the stream.
    func inputEnded() {
        inputHasEnded = true
        if phase == .ending {
            end()
        } else {
            advance()
        }
    }

    // MARK: - Into the framing

    /// Gives the framing what it wants of the bytes that wait, and the application what it waits for.
    func readInput(_ connection: WebSocketConnection) {
        let stream = stream
        deliverNext(connection)
        guard inputHasEnded || !stream.waitingBody.isEmpty else { return }
        while connection.wantsInput, let piece = stream.waitingBody.popFirst() {
            let used = piece.withUnsafeBytes { connection.receive($0, now: now) }
            owedCredit += used
            if used < piece.count { stream.waitingBody.putBack(piece.dropFirst(used)) }
            deliverNext(connection)
            guard used > 0 else { return }
        }
        if inputHasEnded, stream.waitingBody.isEmpty { endInput(connection) }
    }

    private func endInput(_ connection: WebSocketConnection) {
        let isLoss = connection.isOpen
        connection.receiveEnd(now: now)
        deliverNext(connection)
        // As on HTTP: the application was told first.
        if isLoss, stream.applicationRuns { stream.cancelAfterGrace() }
    }

    private func deliverNext(_ connection: WebSocketConnection) {
        guard stream.receiver != nil, let event = takeEvent(connection) else { return }
        notAwaited()
        stream.deliver(event)
    }

    /// Opens the peer's window for what was taken: by the application, or by it as it waits for the rest of a message, or
    /// by nobody, because it was a control frame or came behind our Close.
    func giveCredit(_ connection: WebSocketConnection) {
        guard owedCredit > 0 else { return }
        let held = connection.isOpen && !connection.isAwaited ? connection.heldBytes : 0
        guard owedCredit > held else { return }
        stream.driver?.consumed(owedCredit - held, on: stream.id)
        owedCredit = held
    }
}
