import ApusGateway
import ApusHTTP
import CNghttp3
import CNgtcp2

/// What follows from what the callbacks have written down.
extension HTTP3Connection {
    /// Turns records into events and into orders to the libraries.
    func drain() {
        guard disposition == .open, !sink.pointee.records.isEmpty else { return }
        var records: [ConnectionSink.Record] = []
        swap(&records, &sink.pointee.records)
        var offset = 0
        for record in records {
            handle(record, &offset)
            guard disposition == .open else { return }
        }
        // The orders above make the libraries record nothing: the same array serves the next round.
        if sink.pointee.records.isEmpty, records.capacity <= 1024 {
            records.removeAll(keepingCapacity: true)
            swap(&records, &sink.pointee.records)
        }
        let kept = openTunnels == 0 ? HTTP3Constants.keptArena : HTTP3Constants.keptArenaWithTunnels
        sink.pointee.arena.removeAll(keepingCapacity: sink.pointee.arena.capacity <= kept)
    }

    private func handle(_ record: ConnectionSink.Record, _ offset: inout Int) {
        switch record {
        case .request(let stream, let hasBody):
            deliverHead(stream, hasBody: hasBody)
        case .data(let stream, let count):
            deliverBody(stream, offset..<offset + count)
            offset += count
        case .endOfRequest(let stream):
            deliverEnd(stream)
        case .trailersTooLarge(let stream):
            abandon(stream, .excessiveLoad)
        case .acknowledged(let stream):
            stream.pointee.body.acknowledge(stream.pointee.acknowledged)
            stream.pointee.acknowledged = 0
            stream.pointee.progress = latest
        case .writable(let stream):
            if hears(stream) { events.append(.writable(StreamID(stream))) }
        case .stopReading(let id, let code):
            stopReading(id, code)
        case .resetSending(let id, let code):
            libraryReset(id, code)
        case .peerReset(let id, let code):
            peerReset(id, code)
        case .peerStopped(let id):
            if let stream = sink.pointee.streams[id] { peerStopped(stream) }
        case .closed(let stream, let code):
            closed(stream, code)
        case .closedWithoutRequest:
            extendStreams(bidirectional: true)
        case .closedUnidirectional:
            extendStreams(bidirectional: false)
        }
    }

    // MARK: Requests

    private func deliverHead(_ stream: ConnectionSink.StreamRef, hasBody: Bool) {
        if stream.pointee.isConnect, stream.pointee.refusal == 0 { stream.pointee.refusal = 501 }
        guard stream.pointee.refusal == 0 else {
            answerAndForget(stream, stream.pointee.refusal)
            return
        }
        guard !stream.pointee.isMalformed else {
            abandon(stream, .malformed)
            return
        }
        stream.pointee.isDelivered = true
        events.append(.request(StreamID(stream), stream.pointee.takeHead(hasBody: hasBody)))
    }

    private func deliverBody(_ stream: ConnectionSink.StreamRef, _ range: Range<Int>) {
        guard hears(stream), !stream.pointee.discardsBody else {
            openWindow(stream.pointee.id, connection: range.count, stream: drainCredit(range.count, of: stream))
            return
        }
        let bytes = sink.pointee.arena.withUnsafeBytes { Bytes(copying: UnsafeRawBufferPointer(rebasing: $0[range])) }
        stream.pointee.unconsumed += range.count
        openWindow(stream.pointee.id, connection: credit.receive(range.count), stream: 0)
        events.append(.body(StreamID(stream), bytes))
    }

    private func deliverEnd(_ stream: ConnectionSink.StreamRef) {
        guard !stream.pointee.requestEnded else { return }
        stream.pointee.requestEnded = true
        guard hears(stream), !stream.pointee.discardsBody else { return }
        events.append(.end(StreamID(stream), trailers: stream.pointee.trailers))
        stream.pointee.trailers = nil
    }

    /// Whether the application still wants to hear of a stream.
    func hears(_ stream: ConnectionSink.StreamRef) -> Bool {
        stream.pointee.isDelivered && !stream.pointee.resetDelivered && !stream.pointee.applicationEnded
    }

    // MARK: Resets

    /// Tells the application, once, that a stream is lost.
    func deliverReset(_ stream: ConnectionSink.StreamRef, _ reason: StreamReset) {
        guard hears(stream) else { return }
        stream.pointee.resetDelivered = true
        events.append(.reset(StreamID(stream), reason))
        discardBody(of: stream)
    }

    /// Ends a stream from our side, in both directions, and tells the application.
    func abandon(_ stream: ConnectionSink.StreamRef, _ reason: StreamReset) {
        // What the peer makes us reset counts as if it had done so itself.
        guard countReset(of: stream) else { return }
        stopReading(stream.pointee.id, reason.http3Code)
        resetSending(stream.pointee.id, reason.http3Code)
        deliverReset(stream, reason)
        // A request that no application has seen has none that must end first.
        if !stream.pointee.isDelivered { stream.pointee.applicationEnded = true }
    }

    /// Does what nghttp3 asks for where a request is malformed, or comes after the last that is accepted.
    private func libraryReset(_ id: Int64, _ code: UInt64) {
        resetSending(id, code)
        guard code != UInt64(NGHTTP3_H3_REQUEST_REJECTED) else { return }
        guard let stream = sink.pointee.streams[id] else {
            _ = countReset()
            return
        }
        guard countReset(of: stream) else { return }
        deliverReset(stream, StreamReset(http3Code: code))
    }

    private func peerReset(_ id: Int64, _ code: UInt64) {
        // Of the peer's unidirectional streams none may end, which nghttp3 sees to when QUIC closes them.
        guard id & 3 == 0 else { return }
        guard let stream = sink.pointee.streams[id] else {
            // Reset before its request had begun: there is nothing to answer.
            if countReset() { resetSending(id, UInt64(NGHTTP3_H3_REQUEST_CANCELLED)) }
            return
        }
        guard countReset(of: stream) else { return }
        let isLost = stream.pointee.isUnfinished
        stream.pointee.requestEnded = true
        // A response that is complete may still be wanted: it goes on its way.
        if !stream.pointee.bodyEnded { resetSending(id, UInt64(NGHTTP3_H3_REQUEST_CANCELLED)) }
        if isLost { deliverReset(stream, StreamReset(http3Code: code)) }
        if !stream.pointee.isDelivered { stream.pointee.applicationEnded = true }
        discardBody(of: stream)
    }

    private func peerStopped(_ stream: ConnectionSink.StreamRef) {
        guard !stream.pointee.wasReset, !stream.pointee.finSent else { return }
        stream.pointee.wasReset = true
        guard countReset(of: stream) else { return }
        stopReading(stream.pointee.id, UInt64(NGHTTP3_H3_REQUEST_CANCELLED))
        deliverReset(stream, .cancelled)
    }

    /// Counts a stream once, unless we gave it up ourselves or have answered it.
    private func countReset(of stream: ConnectionSink.StreamRef) -> Bool {
        guard !stream.pointee.isGivenUp, !stream.pointee.finSent else { return true }
        stream.pointee.isGivenUp = true
        return countReset()
    }

    /// Counts a stream that the peer gave up; false where it was one too many and the connection has ended.
    private func countReset() -> Bool {
        guard !resets.take(latest) else { return true }
        let error = ConnectionError(.limitExceeded, "the peer reset too many streams")
        close(code: UInt64(NGHTTP3_H3_EXCESSIVE_LOAD), error)
        return false
    }

    // MARK: The end of streams

    private func closed(_ stream: ConnectionSink.StreamRef, _ code: UInt64) {
        stream.pointee.isClosed = true
        leaveTunnel(stream)
        guard countReset(of: stream) else { return }
        if stream.pointee.isUnfinished {
            deliverReset(stream, code == UInt64(NGHTTP3_H3_NO_ERROR) ? .cancelled : StreamReset(http3Code: code))
        }
        if !stream.pointee.isDelivered { stream.pointee.applicationEnded = true }
        // nghttp3 no longer looks at what was unacknowledged.
        stream.pointee.body.removeAll()
        if !stream.pointee.requestEnded { discardBody(of: stream) }
        pendingFins.removeAll { $0 == stream.pointee.id }
        releaseIfOver(stream)
    }

    /// Frees a stream, and lets the peer open another, once neither QUIC nor the application needs it.
    func releaseIfOver(_ stream: ConnectionSink.StreamRef) {
        guard stream.pointee.isClosed, stream.pointee.applicationEnded else { return }
        discardBody(of: stream)
        let isLetGo = stream.pointee.isLetGo
        sink.pointee.streams.release(stream)
        if isLetGo { streamsLetGo -= 1 } else { extendStreams(bidirectional: true) }
    }

    /// Lets the peer open another stream.
    func extendStreams(bidirectional: Bool) {
        guard let quic else { return }
        isExhausted = false
        if bidirectional {
            ngtcp2_conn_extend_max_streams_bidi(quic.handle, 1)
        } else {
            ngtcp2_conn_extend_max_streams_uni(quic.handle, 1)
        }
    }

    // MARK: Orders

    /// Throws the body away from now on, and gives back its windows.
    func discardBody(of stream: ConnectionSink.StreamRef) {
        stream.pointee.discardsBody = true
        let left = stream.pointee.unconsumed
        guard left > 0 else { return }
        stream.pointee.unconsumed = 0
        openWindow(stream.pointee.id, connection: credit.consume(left), stream: drainCredit(left, of: stream))
    }

    /// Gives the peer more room: on the connection, and on a stream.
    func openWindow(_ id: Int64, connection: Int, stream: Int) {
        guard let quic else { return }
        if connection > 0 { ngtcp2_conn_extend_max_offset(quic.handle, UInt64(connection)) }
        if stream > 0 { ngtcp2_conn_extend_max_stream_offset(quic.handle, id, UInt64(stream)) }
        isExhausted = false
    }

    func stopReading(_ id: Int64, _ code: UInt64) {
        guard let quic else { return }
        ngtcp2_conn_shutdown_stream_read(quic.handle, 0, id, code)
        isExhausted = false
        guard let stream = sink.pointee.streams[id], stream.pointee.stoppedAt == nil else { return }
        stream.pointee.stoppedAt = latest
        watchForStalls(within: .seconds(limits.lingerTimeout))
    }

    func resetSending(_ id: Int64, _ code: UInt64) {
        guard let quic, let http = sink.pointee.http else { return }
        ngtcp2_conn_shutdown_stream_write(quic.handle, 0, id, code)
        nghttp3_conn_shutdown_stream_write(http, id)
        sink.pointee.streams[id]?.pointee.wasReset = true
        pendingFins.removeAll { $0 == id }
        isExhausted = false
    }
}

extension StreamID {
    init(_ stream: ConnectionSink.StreamRef) {
        self.init(UInt64(clamping: stream.pointee.id))
    }
}
