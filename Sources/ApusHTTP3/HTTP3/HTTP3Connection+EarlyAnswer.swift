import ApusHTTP
import CNghttp3

/// Requests that go on after their response is whole.
///
/// RFC 9114 §4.1 lets us stop them with H3_NO_ERROR, but a client that meets STOP_SENDING while it sends may never show
/// the response behind which it came. So a small request may end by itself, and a large one is stopped when the client
/// has had the time to see its response. A tunnel's two sides end each by itself: its application says how long it waits.
extension HTTP3Connection {
    /// Nothing will be added to the response: the application reads no more of the request, unless that is the other
    /// side of a tunnel.
    func completeBody(_ stream: ConnectionSink.StreamRef) {
        stream.pointee.bodyEnded = true
        if !stream.pointee.isTunnel { discardBody(of: stream) }
    }

    /// The response has gone out before the request was complete: the client has a while to end that.
    func awaitEnd(of stream: ConnectionSink.StreamRef) {
        stream.pointee.answeredEarlyAt = latest
        // The endpoint learns of it when this turn's writing is over.
        if earlyAnswerCheck == nil { earlyAnswerCheck = latest + .seconds(limits.earlyAnswerPatience) }
    }

    /// How far a stream's window opens for bytes that nobody reads: not at all past what is worth having.
    func drainCredit(_ count: Int, of stream: ConnectionSink.StreamRef) -> Int {
        let credit = max(0, min(count, limits.maxDrainedBodySize - stream.pointee.drained))
        stream.pointee.drained += credit
        return credit
    }

    /// Stops the requests that have gone on for long enough, and sets the time of the next look.
    func stopUnneededRequests(now: Instant) {
        guard disposition == .open, let due = earlyAnswerCheck, due <= now else { return }
        // A request may have ended by what has come in meanwhile.
        drain()
        guard disposition == .open else { return }
        var next: Instant?
        for stream in sink.pointee.streams.all where !stream.pointee.requestEnded && !stream.pointee.isClosed {
            guard let answeredAt = stream.pointee.answeredEarlyAt else { continue }
            let due = answeredAt + .seconds(limits.earlyAnswerPatience)
            if due <= now {
                stream.pointee.answeredEarlyAt = nil
                stopReading(stream.pointee.id, UInt64(NGHTTP3_H3_NO_ERROR))
            } else {
                next = min(next ?? due, due)
            }
        }
        earlyAnswerCheck = next
    }
}
