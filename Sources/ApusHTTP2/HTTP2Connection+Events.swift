import ApusGateway
import ApusHTTP
import CNghttp2

extension HTTP2Connection {
    /// Turns what the callbacks have recorded into stream events, and does what they may not do themselves.
    func handleEvents(now: Instant) {
        guard !sink.pointee.events.isEmpty else { return }
        // Callbacks find an empty list should anything below make the library call them.
        var events = spareEvents
        spareEvents = []
        swap(&events, &sink.pointee.events)
        for event in events {
            handle(event, now: now)
        }
        events.removeAll(keepingCapacity: events.capacity <= 64)
        spareEvents = events
        settleConnectionWindow()
    }

    private func handle(_ event: EventSink.Event, now: Instant) {
        switch event {
        case .head(let stream, let endsRequest): handleHead(stream, endsRequest: endsRequest)
        case .data(let stream, let bytes): handleData(stream, bytes)
        case .requestEnd(let stream): handleRequestEnd(stream)
        case .closed(let stream, let code): handleClosed(stream, code: code)
        case .answeredEarly(let stream):
            // RFC 9113 §8.1: the response is whole, the rest of the request is not needed.
            reset(stream, code: NGHTTP2_NO_ERROR.rawValue)
        case .trailersDue(let stream): submitTrailers(stream)
        case .headNotSent(let stream): reset(stream, code: NGHTTP2_INTERNAL_ERROR.rawValue)
        case .writable(let stream):
            if isApplications(stream) { emit(.writable(identifier(stream))) }
        case .peerReset:
            if !peerResets.take(now) { calmDown("the peer resets streams too often") }
        case .provokedReset:
            if !provokedResets.take(now) { calmDown("the peer makes us reset streams too often") }
        case .goawaySent(let code, let reason): handleGoawaySent(code: code, reason: reason)
        case .pingAnswered: noticeWasRead()
        }
    }

    func identifier(_ stream: StreamPointer) -> StreamID {
        StreamID(UInt64(stream.pointee.id))
    }

    /// Whether the application has the stream and has a say in it.
    private func isApplications(_ stream: StreamPointer) -> Bool {
        stream.pointee.isDelivered && !stream.pointee.isTakenOver
    }

    // MARK: - Requests

    private func handleHead(_ stream: StreamPointer, endsRequest: Bool) {
        guard let fields = stream.pointee.request.take() else { return }
        timers.firstRequestHasCome()
        // Reset in the same breath as it came: no handler ever starts (CVE-2023-44487).
        guard !stream.pointee.isClosed, !hasFailed else { return }
        // A reset stream keeps its place until its handler has ended, or a peer could start handlers without bound.
        guard admitted + orphans.count < limits.maxConcurrentStreams else {
            stream.pointee.isTakenOver = true
            reset(stream, code: NGHTTP2_REFUSED_STREAM.rawValue)
            return
        }
        admitted += 1
        stream.pointee.isAdmitted = true
        stream.pointee.hasPriority = fields.hasPriority
        let isHead = fields.isHead
        switch fields.finish(secure: secure, hasBody: !endsRequest) {
        case .success(let head):
            stream.pointee.isDelivered = true
            if head.isWebSocket, let urgency = Self.urgency(in: head.headers["priority"]) {
                stream.pointee.urgency = urgency
            }
            emit(.request(identifier(stream), head))
            if endsRequest { emit(.end(identifier(stream), trailers: nil)) }
        case .failure(let refusal):
            answer(stream, status: refusal.status, isHead: isHead)
        }
    }

    /// The urgency that a `priority` field names (RFC 9218 §4.1); the last one where there are more.
    private static func urgency(in field: String?) -> UInt32? {
        guard let field else { return nil }
        return field.split { $0 == "," || $0 == " " || $0 == "\t" }
            .compactMap { $0.hasPrefix("u=") ? UInt32($0.dropFirst(2)) : nil }
            .last { $0 <= 7 }
    }

    private func handleData(_ stream: StreamPointer, _ bytes: Bytes) {
        withheld += bytes.count
        // What nobody will read is thrown away here; the connection's window gets it back at once.
        guard isApplications(stream), isHeard(stream), !stream.pointee.bodyIsComplete else { return }
        stream.pointee.unconsumed += bytes.count
        if !stream.pointee.isTunnel { unconsumed += bytes.count }
        emit(.body(identifier(stream), bytes))
    }

    /// Whether what a stream has brought still matters: the last bytes of a WebSocket may say how it ends, although its
    /// stream was closed in the same breath.
    private func isHeard(_ stream: StreamPointer) -> Bool {
        !stream.pointee.isClosed || stream.pointee.isTunnel
    }

    private func handleRequestEnd(_ stream: StreamPointer) {
        let trailers = stream.pointee.trailers
        stream.pointee.trailers = nil
        guard isApplications(stream), isHeard(stream) else { return }
        guard trailers == nil || !stream.pointee.isTunnel else {
            refuseFrame(stream)
            return
        }
        guard trailers?.isExcessive != true else {
            refuseTrailers(stream)
            return
        }
        emit(.end(identifier(stream), trailers: trailers?.headers))
    }

    /// RFC 9113 §8.5: only DATA passes through a tunnel; fields in it are a stream error.
    private func refuseFrame(_ stream: StreamPointer) {
        emit(.reset(identifier(stream), .malformed))
        stream.pointee.isTakenOver = true
        reset(stream, code: NGHTTP2_PROTOCOL_ERROR.rawValue)
    }

    /// Ends a request whose trailers are too large: with 431 where the application has not begun to answer.
    private func refuseTrailers(_ stream: StreamPointer) {
        emit(.reset(identifier(stream), .excessiveLoad))
        stream.pointee.isTakenOver = true
        if stream.pointee.hasHead {
            reset(stream, code: NGHTTP2_ENHANCE_YOUR_CALM.rawValue)
        } else {
            answer(stream, status: 431, isHead: false)
        }
    }

    // MARK: - End of a stream

    private func handleClosed(_ stream: StreamPointer, code: UInt32) {
        forgetUnconsumed(stream)
        if stream.pointee.isAdmitted { admitted -= 1 }
        // A tunnel ends with both of its sides.
        let isComplete = stream.pointee.responseIsSent && (stream.pointee.requestEnded || !stream.pointee.isTunnel)
        let isWhole = isComplete && !stream.pointee.isTakenOver
        if isApplications(stream), !isWhole {
            emit(.reset(identifier(stream), StreamReset(http2: code)))
        }
        // A tunnel ends when its peer likes, whole or not: neither may start handlers without bound.
        if stream.pointee.isDelivered, !isWhole || stream.pointee.isTunnel, !stream.pointee.applicationEnded {
            orphans.insert(stream.pointee.id)
        }
        sink.pointee.streams.release(stream)
    }

    /// The application's handler has ended; only now does a stream that ended before its response make room.
    package func applicationEnded(on id: StreamID) {
        if !orphans.isEmpty, let number = Int32(exactly: id.rawValue), orphans.remove(number) != nil { return }
        session.stream(id)?.pointee.applicationEnded = true
    }

    /// Queues RST_STREAM; the library leaves out what else it has for the stream.
    func reset(_ stream: StreamPointer, code: UInt32) {
        guard !stream.pointee.isClosed else { return }
        stream.pointee.resetIsOurs = true
        check(session.submitReset(stream, code: code))
    }

    /// Ends the connection where the library ran out of memory; other codes say that the stream has gone.
    func check(_ code: Int32) {
        hasQueuedMore = true
        if code == NGHTTP2_ERR_NOMEM.rawValue { failInternally(HTTP2Session.text(ofReturnCode: code)) }
    }

    // MARK: - End of the connection

    private func calmDown(_ reason: String) {
        let error = ConnectionError(.limitExceeded, "HTTP/2 ENHANCE_YOUR_CALM: \(reason)")
        fail(error, code: NGHTTP2_ENHANCE_YOUR_CALM)
    }

    private func handleGoawaySent(code: UInt32, reason: String) {
        guard code != NGHTTP2_NO_ERROR.rawValue else {
            noticeWasSent()
            return
        }
        if connectionError == nil {
            let invalid = sink.pointee.lastInvalid
            let details = [reason, invalid == 0 ? "" : HTTP2Session.text(ofReturnCode: invalid)].filter { !$0.isEmpty }
            let text = "HTTP/2 \(HTTP2Session.name(ofErrorCode: code)): \(details.joined(separator: "; "))"
            let isCalm = code == NGHTTP2_ENHANCE_YOUR_CALM.rawValue
            connectionError = ConnectionError(isCalm ? .limitExceeded : .protocolViolation, text)
        }
        loseStreams()
    }

    // MARK: - Windows

    /// The application has taken body bytes: the stream's window opens by them.
    package func consumed(_ count: Int, on id: StreamID) {
        guard count > 0, let stream = session.stream(id) else { return }
        // Not more than came, whatever the caller counts.
        let taken = min(count, stream.pointee.unconsumed)
        stream.pointee.unconsumed -= taken
        if !stream.pointee.isTunnel { unconsumed -= taken }
        if !stream.pointee.requestEnded { check(session.consume(stream: stream, taken)) }
        settleConnectionWindow()
    }

    /// Nobody will read what a stream has brought: it counts no more.
    func forgetUnconsumed(_ stream: StreamPointer) {
        guard stream.pointee.unconsumed > 0 else { return }
        if !stream.pointee.isTunnel { unconsumed -= stream.pointee.unconsumed }
        stream.pointee.unconsumed = 0
        settleConnectionWindow()
    }

    /// Gives the connection's window back what has come, but for what applications leave unread beyond the bound.
    ///
    /// So one slow handler does not stall its siblings, and the memory of a connection stays bounded: what waits may be
    /// `connectionReceiveWindow`, and as much again that the peer may send then.
    func settleConnectionWindow() {
        let credit = withheld - max(0, unconsumed - limits.connectionReceiveWindow)
        guard credit > 0 else { return }
        withheld -= credit
        check(session.consumeConnection(credit))
    }
}
