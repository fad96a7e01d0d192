import ApusGateway
import ApusHTTP

// Our side: the order of the application's events, and what the framing has to say on its way to the connection.
extension WebSocketExchange {
    /// Which of the two kinds a message is.
    enum MessageKind {
        case text
        case binary

        init(_ message: WebSocketMessage) {
            switch message {
            case .text: self = .text
            case .binary: self = .binary
            }
        }
    }

    /// The longest reason of a Close frame: 125 bytes less the code (RFC 6455 §5.5).
    private static let maxReason = 123

    /// Takes an event of the application's; false for those of a response, which the stream takes.
    func take(_ event: SendEvent) throws -> Bool {
        switch event {
        case .webSocketAccept(let subprotocol, let headers, let delivery):
            try accept(subprotocol, headers, delivery)
        case .webSocketSend(let message, let more):
            try send(message, more)
        case .webSocketClose(let code, let reason):
            try close(code, reason)
        case .responseStart(let status, _, _):
            try checkIsUndecided("a response")
            // RFC 9110 §9.3.6: to a CONNECT, any 2xx says that the tunnel is open.
            guard status >= 300 else {
                throw ContractViolation("a response with status \(status) does not deny a WebSocket")
            }
            return false
        case .responseBody, .responseTrailers, .pathSend, .earlyHint:
            try checkIsUndecided("a response")
            return false
        case .startupComplete, .startupFailed, .shutdownComplete, .shutdownFailed:
            return false
        }
        return true
    }

    private func checkIsUndecided(_ event: String) throws {
        if isAccepted { throw ContractViolation("\(event) after the acceptance of the WebSocket") }
    }

    private func accept(_ subprotocol: String?, _ headers: Headers, _ delivery: WebSocketDelivery) throws {
        try checkIsUndecided("a second acceptance")
        try checkIsNotDenied("an acceptance")
        guard let handshake, !stream.clientGone else { throw ClientDisconnected() }
        if let subprotocol, !handshake.subprotocols.contains(subprotocol) {
            throw ContractViolation("the client does not offer the subprotocol '\(subprotocol)'")
        }
        // The status is the handshake's; the fields are held to the rules of every response.
        let checked = try ResponseRules.head(
            200,
            headers,
            for: stream.scope.head,
            defaults: stream.driver?.defaults.fields(at: now) ?? Headers()
        )
        let head = handshake.acceptance(
            subprotocol: subprotocol,
            headers: checked.headers,
            defaults: checked.defaults
        )
        stream.status = head.status
        stream.driver?.send(.head(head), on: stream.id)
        stream.logAccess()
        open(delivery, handshake.deflate)
    }

    private func checkIsNotDenied(_ event: String) throws {
        guard phase == .denied else { return }
        // It was the server that denied, because it goes.
        if farewell != nil { throw ClientDisconnected() }
        throw ContractViolation("\(event) after the WebSocket was denied")
    }

    /// The framing, where messages can be sent.
    private func openConnection(for event: String) throws -> WebSocketConnection {
        try checkIsNotDenied(event)
        if phase == .connecting { throw ContractViolation("\(event) before the acceptance of the WebSocket") }
        guard let connection, phase == .open, connection.isOpen, !stream.clientGone else { throw ClientDisconnected() }
        return connection
    }

    private func send(_ message: WebSocketMessage, _ more: Bool) throws {
        let connection = try openConnection(for: "a message")
        let kind = MessageKind(message)
        guard unfinished == nil || unfinished == kind else {
            throw ContractViolation("a text and a binary fragment in one message")
        }
        unfinished = more ? kind : nil
        connection.send(message, more: more, now: now)
        writeOutput(connection)
    }

    private func close(_ code: WebSocketCloseCode, _ reason: String) throws {
        guard code.isSendable else { throw ContractViolation("the close code \(code) may not be sent") }
        guard reason.utf8.count <= Self.maxReason else {
            throw ContractViolation("a close reason has at most \(Self.maxReason) bytes, not \(reason.utf8.count)")
        }
        if phase == .connecting {
            // ASGI: a close in place of the acceptance.
            stream.respond(status: 403)
            return
        }
        try openConnection(for: "a close").close(code, reason: reason, now: now)
        knowsOfEnd = true
        advance()
    }

    // MARK: - Output

    /// What waited for the client has drained.
    func becameWritable() {
        connection?.outputMoved()
        advance()
    }

    /// Hands over what the framing has to say, as long as the client takes it: what waits in the framing, such as pongs,
    /// is bounded there.
    func writeOutput(_ connection: WebSocketConnection) {
        let stream = stream
        let disposition = connection.disposition
        guard phase == .open, connection.hasOutput || disposition != .open, let driver = stream.driver else { return }
        let highWater = stream.worker.configuration.limits.streamSendHighWater
        while connection.hasOutput, driver.bufferedOutput(on: stream.id) <= highWater {
            guard let piece = connection.nextOutput() else { break }
            stream.sentBytes += piece.count
            driver.send(.body(piece, end: false), on: stream.id)
        }
        switch disposition {
        case .open:
            return
        case .close:
            tellFault(connection)
            endOutput(driver, isSaid: !connection.hasOutput)
        case .abort:
            tellFault(connection)
            driver.send(.reset(.cancelled), on: stream.id)
            end()
        }
    }

    /// Both sides have said goodbye: after our last byte the stream ends in order, and the peer has some time for the same.
    private func endOutput(_ driver: ConnectionDriver, isSaid: Bool) {
        if endDeadline == nil { endDeadline = now + .seconds(options.closeTimeout) }
        guard isSaid else { return }
        driver.send(.body(Bytes(), end: true), on: stream.id)
        // HTTP/1.1: the connection closes, and that is its driver's to do.
        if inputHasEnded || stream.scope.httpVersion == .http11 {
            end()
        } else {
            phase = .ending
        }
    }
}
