import ApusGateway
import ApusHTTP
import CNghttp2

extension HTTP2Connection {
    // MARK: - Responses

    /// Takes a piece of the response of a stream; ignored where the stream has gone.
    package func send(_ event: consuming ResponseEvent, on id: StreamID) {
        guard !hasFailed, let stream = session.stream(id), !stream.pointee.isTakenOver else { return }
        switch event {
        case .informational(let status, let headers):
            // RFC 9113 §8.6: nothing is upgraded here.
            guard status != 101 else { return }
            check(responseFields.with(status: status, headers) { session.submitInformational(stream, $0) })
        case .head(let head):
            sendHead(head, on: stream)
        case .body(let bytes, let end):
            sendBody(bytes, end: end, on: stream)
        case .file:
            // Only connections that say `acceptsFiles` are given files; this one cannot finish the response.
            sendReset(.internalError, on: stream)
        case .trailers(let headers):
            guard stream.pointee.hasHead, !stream.pointee.bodyIsComplete else { return }
            stream.pointee.responseTrailers = headers
            sendBody(Bytes(), end: true, on: stream)
        case .reset(let reason):
            sendReset(reason, on: stream)
        }
    }

    private func sendHead(_ head: ResponseHead, on stream: StreamPointer) {
        guard !stream.pointee.hasHead else { return }
        stream.pointee.hasHead = true
        if head.endsStream { completeBody(stream) }
        stream.pointee.lastProgress = sink.pointee.now
        if head.opensTunnel { openTunnel(head, on: stream) }
        let code = responseFields.with(status: head.status, head.headers, head.defaults) {
            session.submitResponse(stream, $0, hasBody: !head.endsStream)
        }
        check(code)
    }

    /// From here on the stream is a WebSocket's. It takes turns with its siblings from the start, whatever the client
    /// said: it may never end.
    private func openTunnel(_ head: ResponseHead, on stream: StreamPointer) {
        // A WebSocket may stay unread for as long as its application likes: its own window bounds it, and it takes nothing
        // from what its neighbours share.
        unconsumed -= stream.pointee.unconsumed
        stream.pointee.isTunnel = true
        // RFC 9110 §9.3.6: a tunnel has no length.
        head.headers = head.headers.filtered { name, _ in !FieldRules.equals(name, "content-length") }
        stream.pointee.hasPriority = true
        check(session.setIncremental(stream))
    }

    private func sendBody(_ bytes: Bytes, end: Bool, on stream: StreamPointer) {
        guard stream.pointee.hasHead, !stream.pointee.bodyIsComplete else { return }
        if stream.pointee.body.count == 0 { stream.pointee.lastProgress = sink.pointee.now }
        stream.pointee.body.append(bytes)
        if end { completeBody(stream) }
        if stream.pointee.body.count > limits.streamSendHighWater { stream.pointee.isAboveHighWater = true }
        shareIfLarge(stream)
        if stream.pointee.isDeferred, end || !bytes.isEmpty {
            stream.pointee.isDeferred = false
            check(session.resumeBody(stream))
        }
    }

    /// The response is complete: the application reads no more of the request, nor of the peer's side of a tunnel.
    private func completeBody(_ stream: StreamPointer) {
        stream.pointee.bodyIsComplete = true
        forgetUnconsumed(stream)
    }

    /// Lets a large response take turns with its siblings.
    ///
    /// By default a response is sent to its end before the next one begins (RFC 9218 §4.2); behind a proxy, where the
    /// streams of a connection belong to different clients, one download would stop all others.
    private func shareIfLarge(_ stream: StreamPointer) {
        guard !stream.pointee.hasPriority, stream.pointee.body.count > Self.shareThreshold else { return }
        stream.pointee.hasPriority = true
        check(session.setIncremental(stream))
    }

    /// A response of one DATA frame has nothing to share.
    private static let shareThreshold = 16 * 1024

    /// Resets a stream, unless its response is complete: what is queued of that still goes out. A tunnel that we have
    /// ended has the peer's side still.
    private func sendReset(_ reason: StreamReset, on stream: StreamPointer) {
        guard !stream.pointee.bodyIsComplete || stream.pointee.isTunnel else { return }
        stream.pointee.isTakenOver = true
        forgetUnconsumed(stream)
        reset(stream, code: reason.http2Code)
    }

    /// Queues the trailers, now that the body has gone out.
    func submitTrailers(_ stream: StreamPointer) {
        guard let trailers = stream.pointee.responseTrailers, !stream.pointee.isClosed else { return }
        stream.pointee.responseTrailers = nil
        check(responseFields.with(status: nil, trailers) { session.submitTrailers(stream, $0) })
    }

    /// Answers a request that no application sees; the rest of it is thrown away.
    func answer(_ stream: StreamPointer, status: Int, isHead: Bool) {
        stream.pointee.isTakenOver = true
        let text = Self.answerText(status)
        let headers: Headers = ["content-type": "text/plain; charset=utf-8", "content-length": "\(text.count)"]
        sendHead(ResponseHead(status: status, headers: headers, endsStream: isHead), on: stream)
        sendBody(text, end: true, on: stream)
    }

    private static func answerText(_ status: Int) -> Bytes {
        switch status {
        case 414: "414 URI Too Long\n"
        case 431: "431 Request Header Fields Too Large\n"
        case 501: "501 Not Implemented\n"
        default: "400 Bad Request\n"
        }
    }

    /// Body bytes of a response that wait for the peer's window.
    package func bufferedOutput(on id: StreamID) -> Int {
        session.stream(id)?.pointee.body.count ?? 0
    }

    /// Files have to go through the library's frames, so they come as bytes.
    package var acceptsFiles: Bool { false }

    // MARK: - Output

    /// Appends what there is to say, about 256 KiB at most; call again when that is written.
    package func nextOutput(into output: inout OutputBuffer, now: Instant) {
        sink.pointee.now = now
        // Callbacks write into the sink; the caller's buffer lies there meanwhile.
        swap(&output, &sink.pointee.output)
        repeat {
            hasQueuedMore = false
            writeFrames()
            handleEvents(now: now)
        } while hasQueuedMore && sink.pointee.output.count < SessionCallbacks.outputBudget
        swap(&output, &sink.pointee.output)
        trackActivity(now: now)
    }

    private func writeFrames() {
        let sink = sink
        while sink.pointee.output.count < SessionCallbacks.outputBudget {
            let count = session.nextFrame { sink.pointee.output.append($0) }
            guard count > 0 else {
                if count < 0 { failInternally(HTTP2Session.text(ofReturnCode: Int32(clamping: count))) }
                return
            }
        }
    }
}
