import ApusGateway
import ApusHTTP
import CNghttp3
import CNgtcp2

/// What applications say, on its way to nghttp3.
extension HTTP3Connection {
    /// Takes a part of a response. On a stream that is unknown, over or lost it does nothing.
    package func send(_ event: ResponseEvent, on id: StreamID) {
        guard let http = sink.pointee.http, let stream = self[id], !stream.pointee.isClosed, !stream.pointee.wasReset
        else { return }
        isExhausted = false
        switch event {
        case .informational(let status, let fields):
            submitInformational(http, stream, status, fields)
        case .head(let head):
            submitHead(http, stream, head)
        case .body(let bytes, let end):
            queueBody(http, stream, bytes, end: end)
        case .file:
            // The driver reads files itself where `acceptsFiles` is false; half a response must not look whole.
            reset(stream, .internalError)
        case .trailers(let fields):
            submitTrailers(http, stream, fields)
        case .reset(let reason):
            reset(stream, reason)
        }
    }

    /// The application has taken body bytes: the stream's window opens by as many.
    package func consumed(_ count: Int, on id: StreamID) {
        guard let stream = self[id] else { return }
        let taken = min(count, stream.pointee.unconsumed)
        guard taken > 0 else { return }
        stream.pointee.unconsumed -= taken
        openWindow(
            stream.pointee.id,
            connection: credit.consume(taken),
            stream: stream.pointee.requestEnded ? 0 : taken
        )
    }

    /// The application's task is over: only now may the peer use the stream's place for another (RFC 9114 §10.5).
    package func applicationEnded(on id: StreamID) {
        guard let stream = self[id] else { return }
        stream.pointee.applicationEnded = true
        leaveTunnel(stream)
        discardBody(of: stream)
        if stream.pointee.isTunnel, stream.pointee.finSent, !stream.pointee.requestEnded {
            awaitEnd(of: stream)
            endpoint.schedule(self)
        }
        if stream.pointee.stoppedAt != nil { watchForStalls(within: .seconds(limits.lingerTimeout)) }
        releaseIfOver(stream)
    }

    // MARK: Heads

    private func submitInformational(
        _ http: OpaquePointer,
        _ stream: ConnectionSink.StreamRef,
        _ status: Int,
        _ fields: Headers
    ) {
        guard !stream.pointee.headSubmitted else { return }
        let result = endpoint.fields.build(status: status, fields, Headers()) { fields, count in
            nghttp3_conn_submit_info(http, stream.pointee.id, fields, count)
        }
        goesOn(after: result)
    }

    @discardableResult
    private func submitHead(
        _ http: OpaquePointer,
        _ stream: ConnectionSink.StreamRef,
        _ head: ResponseHead
    ) -> Bool {
        guard !stream.pointee.headSubmitted else { return true }
        stream.pointee.headSubmitted = true
        if head.endsStream { completeBody(stream) }
        if head.opensTunnel { openTunnel(http, on: stream) }
        let result = endpoint.fields.build(status: head.status, head.headers, head.defaults) { fields, count in
            nghttp3_conn_submit_response(
                http,
                stream.pointee.id,
                fields,
                count,
                head.endsStream ? nil : HTTP3Callbacks.bodyReader
            )
        }
        return goesOn(after: result)
    }

    // MARK: Bodies

    private func queueBody(_ http: OpaquePointer, _ stream: ConnectionSink.StreamRef, _ bytes: Bytes, end: Bool) {
        guard stream.pointee.headSubmitted, !stream.pointee.bodyEnded else { return }
        if stream.pointee.body.held == 0 {
            stream.pointee.progress = latest
            watchForStalls(within: .seconds(limits.sendStallTimeout))
        }
        stream.pointee.body.append(bytes)
        if end { completeBody(stream) }
        if stream.pointee.body.waiting > limits.streamSendHighWater { stream.pointee.isAboveHighWater = true }
        resume(http, stream)
    }

    private func submitTrailers(_ http: OpaquePointer, _ stream: ConnectionSink.StreamRef, _ fields: Headers) {
        guard stream.pointee.headSubmitted, !stream.pointee.bodyEnded else { return }
        completeBody(stream)
        if !fields.isEmpty {
            stream.pointee.trailersFollow = true
            let result = endpoint.fields.build(status: nil, fields, Headers()) { fields, count in
                nghttp3_conn_submit_trailers(http, stream.pointee.id, fields, count)
            }
            guard goesOn(after: result) else { return }
        }
        resume(http, stream)
    }

    private func resume(_ http: OpaquePointer, _ stream: ConnectionSink.StreamRef) {
        guard stream.pointee.isStarved else { return }
        stream.pointee.isStarved = false
        goesOn(after: nghttp3_conn_resume_stream(http, stream.pointee.id))
    }

    // MARK: Ends

    private func reset(_ stream: ConnectionSink.StreamRef, _ reason: StreamReset) {
        // Nothing is left to be told to an application that gives up by itself.
        stream.pointee.resetDelivered = true
        stream.pointee.isGivenUp = true
        discardBody(of: stream)
        stopReading(stream.pointee.id, reason.http3Code)
        resetSending(stream.pointee.id, reason.http3Code)
    }

    /// Answers a request that no application sees.
    func answerAndForget(_ stream: ConnectionSink.StreamRef, _ status: Int) {
        guard let http = sink.pointee.http else { return }
        stream.pointee.applicationEnded = true
        stream.pointee.headers = Headers()
        discardBody(of: stream)
        let text = Bytes("\(status) \(Self.reason(status))\n")
        let fields: Headers = ["content-type": "text/plain", "content-length": String(text.count)]
        let isHead = stream.pointee.method == "HEAD"
        let head = ResponseHead(status: status, headers: fields, endsStream: isHead)
        guard submitHead(http, stream, head) else { return }
        if !isHead { queueBody(http, stream, text, end: true) }
        isExhausted = false
    }

    private static func reason(_ status: Int) -> String {
        switch status {
        case 414: "URI Too Long"
        case 431: "Request Header Fields Too Large"
        case 501: "Not Implemented"
        default: "Error"
        }
    }

    /// The library refuses only what our own code got wrong, or for lack of memory.
    ///
    /// - Returns: Whether the connection goes on; if not, the libraries' objects and this stream are gone.
    @discardableResult
    private func goesOn(after status: Int32) -> Bool {
        guard status < 0 else { return true }
        let reason = String(cString: nghttp3_strerror(status))
        close(
            code: UInt64(NGHTTP3_H3_INTERNAL_ERROR),
            ConnectionError(.internalError, "nghttp3 refused a response: \(reason)")
        )
        return false
    }
}
