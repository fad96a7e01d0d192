import ApusGateway
import ApusHTTP
import ApusTransport

// The request's side: pieces of the body wait here, each opens the window again when the application takes it.
extension RequestStream {
    nonisolated(nonsending) func receive() async throws -> ReceiveEvent {
        if loop.isOnLoop, let event = try takeEvent() { return event }
        let waiter = Waiter<ReceiveEvent>()
        return try await withTaskCancellationHandler {
            try await withUnsafeThrowingContinuation { continuation in
                let runs = loop.runOnLoop { [self] in wait(waiter, continuation) }
                // The loop ends after its last connection.
                if !runs { continuation.resume(returning: lastEvent) }
            }
        } onCancel: {
            loop.submit { [self] in cancel(waiter) }
        }
    }

    private func wait(_ waiter: Waiter<ReceiveEvent>, _ continuation: UnsafeContinuation<ReceiveEvent, any Error>) {
        do {
            if let event = try takeEvent() {
                continuation.resume(returning: event)
                return
            }
        } catch {
            continuation.resume(throwing: error)
            return
        }
        waiter.suspend(continuation)
        receiver = waiter
        if waiter.isCancelled { cancel(waiter) }
    }

    private func cancel(_ waiter: Waiter<ReceiveEvent>) {
        if receiver === waiter {
            receiver = nil
            webSocket?.notAwaited()
        }
        waiter.cancel()
    }

    /// The next event where there is one now; nil where the application must wait.
    private func takeEvent() throws -> ReceiveEvent? {
        guard receiver == nil else {
            throw ContractViolation("another receive of this request is still waiting")
        }
        if let webSocket { return webSocket.nextEvent() }
        // ASGI: after the response, as after the client's leaving, there is only the disconnect.
        if clientGone || phase == .complete || phase == .failed { return .disconnect }
        if let piece = waitingBody.popFirst() {
            driver?.consumed(piece.count, on: id)
            let more = !(waitingBody.isEmpty && requestEnded && requestTrailers == nil)
            endDelivered = !more
            return .requestBody(piece, more: more)
        }
        if requestEnded && !endDelivered {
            endDelivered = true
            if let requestTrailers { return .requestTrailers(requestTrailers) }
            return .requestBody(Bytes(), more: false)
        }
        askForBody()
        return nil
    }

    /// RFC 9110 §10.1.1: the client that waits for a 100 gets it when the application first wants the body.
    private func askForBody() {
        guard owesContinue, !requestEnded, phase == .idle else { return }
        owesContinue = false
        driver?.send(.informational(status: 100, Headers()), on: id)
    }

    // MARK: From the driver

    func bodyArrived(_ piece: Bytes) {
        if let webSocket {
            webSocket.bytesArrived(piece)
            return
        }
        owesContinue = false
        guard !clientGone, phase != .complete, phase != .failed else {
            // Nobody will read it; the connection's window must not shrink for that.
            driver?.consumed(piece.count, on: id)
            return
        }
        if receiver != nil {
            deliver(.requestBody(piece, more: true))
            driver?.consumed(piece.count, on: id)
        } else {
            waitingBody.append(piece)
        }
    }

    func requestEnded(trailers: Headers?) {
        if let webSocket {
            webSocket.inputEnded()
            return
        }
        // A request without a body was complete from the start, and the application may know it already.
        guard !requestEnded else { return }
        owesContinue = false
        requestEnded = true
        requestTrailers = trailers
        guard receiver != nil, waitingBody.isEmpty else { return }
        endDelivered = true
        if let trailers {
            deliver(.requestTrailers(trailers))
        } else {
            deliver(.requestBody(Bytes(), more: false))
        }
    }

    /// What every further `receive` gives once it is all over.
    var lastEvent: ReceiveEvent { webSocket?.lastEvent ?? .disconnect }

    /// Hands an event to the waiting `receive`, if there is one.
    func deliver(_ event: ReceiveEvent) {
        let waiter = receiver
        receiver = nil
        waiter?.resume(returning: event)
    }
}
