import ApusGateway

extension HTTP1Connection {
    /// Sends a part of a response; a stream that is finished or unknown is passed over.
    package func send(_ event: consuming ResponseEvent, on stream: StreamID) {
        guard isLive(stream) else { return }
        switch consume event {
        case .informational(let status, let headers): sendInformational(status, headers)
        case .head(let head): sendHead(head)
        case .body(let bytes, let end): sendBody(count: bytes.count, end: end) { $0.append(bytes) }
        case .file(let file, let end): sendBody(count: file.count, end: end) { $0.append(file) }
        case .trailers(let trailers): sendTrailers(trailers)
        case .reset: abandonResponse()
        }
        if isRequestLive, output.count >= limits.streamSendHighWater { owesWritable = true }
        // The rest of the body, which is thrown away, or the next request may be there already.
        if !isRequestLive { readInput() }
        settleWait(nil)
    }

    // MARK: Head

    private func sendInformational(_ status: Int, _ headers: Headers) {
        // RFC 9110 §15.2: never to an HTTP/1.0 client. A 101 is a head that opens a tunnel, or it is nothing.
        guard responding == .head, !request.isHTTP10, status != 101 else { return }
        if status == 100 {
            // RFC 9110 §10.1.1: needless once the body is on its way.
            guard request.awaitsContinue else { return }
            request.awaitsContinue = false
        }
        ResponseSerializer.write(status: status, headers, to: &output)
    }

    private func sendHead(_ head: ResponseHead) {
        guard responding == .head else { return }
        let framing = self.framing(of: head)
        // RFC 9110 §10.1.1: whether a client that waits for a 100 will send its body now is not known.
        if head.closesConnection || isShuttingDown || request.awaitsContinue || framing == .untilClose
            || hasStrayInput
        {
            request.keepsAlive = false
        }
        ResponseSerializer.write(head, framing: framing, connection: connectionField(of: head, framing), to: &output)
        guard !head.endsStream else {
            finishResponse()
            return
        }
        switch framing {
        case .stated, .empty: responding = .length
        case .chunked: responding = .chunked
        case .untilClose: responding = .untilClose
        case .tunnel: openTunnel()
        }
    }

    /// From here on the connection is a WebSocket's, to its end (RFC 6455 §4.2.2).
    private func openTunnel() {
        responding = .tunnel
        reading = .tunnel
        // Bytes may have come right behind the request; where none have, their room is not kept.
        if waitingInput > 0 { readInput() } else { input = [] }
    }

    /// Whether bytes came behind a request for a WebSocket that is being refused: meant for a tunnel, they could say
    /// anything where they were read as requests.
    private var hasStrayInput: Bool { request.isWebSocket && waitingInput > 0 }

    /// RFC 9112 §6.
    private func framing(of head: ResponseHead) -> ResponseSerializer.Framing {
        if head.opensTunnel, request.isWebSocket { return .tunnel }
        if request.isHead || head.status == 204 || head.status == 304 { return .stated }
        if head.endsStream { return head.contentLength == nil ? .empty : .stated }
        if request.isHTTP10 { return head.contentLength == nil ? .untilClose : .stated }
        // Trailers need the chunked coding, which excludes a content-length (RFC 9112 §6.2).
        return head.contentLength == nil || head.trailersFollow ? .chunked : .stated
    }

    private func connectionField(
        of head: ResponseHead,
        _ framing: ResponseSerializer.Framing
    ) -> ResponseSerializer.ConnectionField {
        if framing == .tunnel { return .upgrade }
        // RFC 9110 §15.5.22: a 426 names what it asks for, and a WebSocket is all that can be served here.
        if head.status == 426, parser.webSockets, !request.isHTTP10 {
            return request.keepsAlive ? .upgrade : .upgradeOrClose
        }
        if !request.keepsAlive { return .close }
        return request.isHTTP10 ? .keepAlive : .none
    }

    // MARK: Body

    private func sendBody(count: Int, end: Bool, _ append: (inout OutputBuffer) -> Void) {
        switch responding {
        case .length, .untilClose, .tunnel:
            append(&output)
        case .chunked:
            // An empty chunk would end the body.
            if count > 0 {
                ResponseSerializer.writeChunkSize(count, to: &output)
                append(&output)
                output.append(literal: "\r\n")
            }
            if end { output.append(literal: "0\r\n\r\n") }
        case .nothing, .head:
            return
        }
        if end { finishResponse() }
    }

    private func sendTrailers(_ trailers: Headers) {
        guard responding != .head else { return }
        if responding == .chunked {
            output.append(literal: "0\r\n")
            ResponseSerializer.write(status: nil, trailers, to: &output)
        }
        finishResponse()
    }

    // MARK: End

    /// The response is complete.
    private func finishResponse() {
        responding = .nothing
        unconsumed = 0
        drained = 0
        switch reading {
        case .complete: finishExchange()
        case .length(let remaining):
            if !request.keepsAlive || remaining > limits.maxDrainedBodySize { close() }
        case .chunked, .trailers:
            if !request.keepsAlive { close() }
        case .tunnel: close()
        case .head, .closed: break
        }
    }

    /// Request and response are complete.
    func finishExchange() {
        // RFC 9112 §9.6: behind a response that says `close` no request is looked at.
        if request.keepsAlive, !hasStrayInput {
            reading = .head
        } else {
            close()
        }
    }

    /// The response will not be completed: a clean end could make it look whole.
    private func abandonResponse() {
        responding = .nothing
        stopReading()
        disposition = .abort
    }

    /// Answers what cannot be served, and ends the connection: what follows in the input could be anything.
    func refuse(_ refusal: RequestRefusal) {
        connectionError = ConnectionError(refusal.kind, refusal.reason)
        switch responding {
        case .nothing where reading == .head:
            answer(refusal)
        case .nothing:
            // The response is out; the rest of the body was only to be thrown away.
            close()
        case .head:
            giveUpRequest(refusal.reset)
            answer(refusal)
        case .length, .chunked, .untilClose, .tunnel:
            giveUpRequest(refusal.reset)
        }
    }

    private func answer(_ refusal: RequestRefusal) {
        let text = Bytes("\(refusal.status) \(StatusText.phrase(refusal.status)): \(refusal.reason)\n")
        let head = ResponseHead(
            status: refusal.status,
            headers: ["content-type": "text/plain; charset=utf-8", "content-length": String(text.count)],
            contentLength: text.count
        )
        ResponseSerializer.write(head, framing: .stated, connection: .close, to: &output)
        output.append(text)
        close()
    }
}
