import ApusGateway
import ApusHTTP
import ApusTransport
import Logging

// The response's side: the order of events, back-pressure, and what goes to the connection.
extension RequestStream {
    nonisolated(nonsending) func send(_ event: SendEvent) async throws {
        var unsent: SendEvent? = event
        if loop.isOnLoop && senders.isEmpty {
            try apply(event)
            if !mustWait { return }
            unsent = nil
        }
        let waiting = SendWaiter(event: unsent)
        try await withTaskCancellationHandler {
            try await withUnsafeThrowingContinuation { continuation in
                let runs = loop.runOnLoop { [self] in wait(waiting, continuation) }
                if !runs { continuation.resume(throwing: ClientDisconnected()) }
            }
        } onCancel: {
            loop.submit { [self] in cancel(waiting) }
        }
    }

    private func wait(_ waiting: SendWaiter, _ continuation: UnsafeContinuation<Void, any Error>) {
        waiting.waiter.suspend(continuation)
        senders.append(waiting)
        resumeSenders()
        // A cancelled task may still send what need not wait, as it may where it sends without a hop.
        if waiting.waiter.isCancelled { cancel(waiting) }
    }

    private func cancel(_ waiting: SendWaiter) {
        senders.removeAll { $0 === waiting }
        waiting.waiter.cancel()
    }

    /// Whether the next send must wait for the client to take what was sent.
    private var mustWait: Bool {
        guard !clientGone, let driver else { return false }
        return file != nil || driver.bufferedOutput(on: id) > worker.configuration.limits.streamSendHighWater
    }

    /// Lets waiting sends through in their order, until one has to go on waiting.
    func resumeSenders() {
        while let first = senders.first {
            do {
                if let event = first.event {
                    first.event = nil
                    try apply(event)
                }
                if mustWait { return }
                senders.removeFirst()
                first.waiter.resume(returning: ())
            } catch {
                senders.removeFirst()
                first.waiter.resume(throwing: error)
            }
        }
    }

    func failSenders(_ error: any Error) {
        let waiting = senders
        senders = []
        for sender in waiting {
            sender.waiter.resume(throwing: error)
        }
    }

    /// What waited for the client has drained.
    func becameWritable() {
        if file != nil { pumpFile() }
        webSocket?.becameWritable()
        resumeSenders()
    }

    // MARK: - The order of events

    private func apply(_ event: SendEvent) throws {
        if let webSocket, try webSocket.take(event) { return }
        // ASGI: what comes after the end is ignored, whether or not the client is still there.
        if phase == .complete { return }
        if clientGone || phase == .failed { throw ClientDisconnected() }
        switch event {
        case .responseStart(let status, let headers, let trailers):
            try start(status, headers, trailers)
        case .responseBody(let bytes, let more):
            try sendBody(bytes, more)
        case .responseTrailers(let trailers):
            try sendTrailers(trailers)
        case .earlyHint(let links):
            try sendEarlyHint(links)
        case .pathSend(let path):
            try sendFile(path)
        case .webSocketAccept, .webSocketSend, .webSocketClose:
            throw ContractViolation("a WebSocket event on an HTTP scope")
        case .startupComplete, .startupFailed, .shutdownComplete, .shutdownFailed:
            throw ContractViolation("a lifespan event on the scope of a request")
        }
    }

    private func start(_ status: Int, _ headers: Headers, _ trailers: Bool) throws {
        guard phase == .idle else { throw ContractViolation("a second response start") }
        let head = try ResponseRules.head(
            status,
            headers,
            for: scope.head,
            defaults: driver?.defaults.fields(at: loop.now) ?? Headers()
        )
        phase = .started
        webSocket?.denied()
        self.status = status
        bodyLeft = head.contentLength
        dropsBody = head.endsStream
        // ASGI: trailers go out only to a client that said it takes them.
        sendsTrailers = trailers && scope.head.acceptsTrailers && !dropsBody
        heldHead = head
        heldHead?.trailersFollow = sendsTrailers
        announcedTrailers = trailers
        driver?.holdsHead(self)
    }

    /// Sends the head by itself: nothing followed it in this turn.
    func releaseHead() {
        guard let head = heldHead, !clientGone else { return }
        heldHead = nil
        driver?.send(.head(head), on: id)
    }

    private func sendBody(_ bytes: Bytes, _ more: Bool) throws {
        guard phase == .started else { throw misplacedBody }
        try account(for: bytes.count, more)
        bodyStarted = true
        let ends = !more && !sendsTrailers
        sendHead(before: bytes, ends: ends)
        if !dropsBody {
            sentBytes += bytes.count
            if !headEndedStream, ends || !bytes.isEmpty { driver?.send(.body(bytes, end: ends), on: id) }
        }
        guard !more else { return }
        if announcedTrailers { phase = .awaitingTrailers } else { complete() }
    }

    private var misplacedBody: ContractViolation {
        switch phase {
        case .idle: ContractViolation("a response body before the response's start")
        case .sendingFile: ContractViolation("a response body beside a file that is the body")
        default: ContractViolation("a response body after the last one")
        }
    }

    /// Holds the body against its content-length: more than declared, or less at the end, is the application's error.
    private func account(for count: Int, _ more: Bool) throws {
        guard !dropsBody, let left = bodyLeft else { return }
        guard count <= left else {
            throw ContractViolation("the response body is longer than its content-length by \(count - left) bytes")
        }
        guard more || count == left else {
            throw ContractViolation("the response body ends \(left - count) bytes short of its content-length")
        }
        bodyLeft = left - count
    }

    /// Sends the held head; a body that is complete with its first piece gives the head its length.
    private func sendHead(before bytes: Bytes, ends: Bool) {
        guard let head = heldHead else { return }
        heldHead = nil
        driver?.holdsHeadNoMore(self)
        if ends && head.contentLength == nil && knowsLength(of: bytes, head.status) {
            head.contentLength = bytes.count
            head.headers.append("content-length", String(bytes.count))
        }
        if ends && bytes.isEmpty {
            head.endsStream = true
            headEndedStream = true
        }
        driver?.send(.head(head), on: id)
    }

    /// RFC 9110 §8.6: the answers to HEAD and 304 may only say the length that the answer to GET would have. An empty
    /// body says nothing about that, a 304 never has one.
    private func knowsLength(of bytes: Bytes, _ status: Int) -> Bool {
        ResponseRules.allowsContentLength(status) && status != 304 && !(scope.head.isHead && bytes.isEmpty)
    }

    private func sendTrailers(_ trailers: Headers) throws {
        guard phase == .awaitingTrailers else {
            throw ContractViolation("trailers that the response's start did not announce, or before the last body")
        }
        try ResponseRules.check(trailers: trailers)
        if sendsTrailers { driver?.send(.trailers(trailers), on: id) }
        complete()
    }

    private func sendEarlyHint(_ links: [Bytes]) throws {
        guard phase == .idle else { throw ContractViolation("an early hint after the response's start") }
        let hint = try ResponseRules.earlyHint(links)
        // RFC 8297 §3: a 103 confuses HTTP/1.0 clients.
        guard scope.httpVersion != .http10 else { return }
        driver?.send(.informational(status: 103, hint), on: id)
    }

    func complete() {
        phase = .complete
        waitingBody.removeAll()
        deliver(lastEvent)
        logAccess()
    }

    /// Answers by itself, for an application that did not.
    func respond(status: Int, _ more: Headers = Headers()) {
        let body = Bytes("\(status) \(ReasonPhrase.text(for: status))\n")
        var headers: Headers = ["content-type": "text/plain; charset=utf-8"]
        headers.append(contentsOf: more)
        do {
            try start(status, headers, false)
            try sendBody(body, false)
        } catch {
            worker.logger.error("\(requestLine): the server's own \(status) response failed: \(error)")
        }
    }
}
