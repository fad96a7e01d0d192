import ApusHTTP
import CNghttp2

/// Requests that go on after their response is whole.
///
/// RFC 9113 §8.1 lets us reset them with NO_ERROR, but a client that meets the reset while it sends may never show the
/// response behind which it came. So a small request may end by itself, and a large one is reset when the client has had
/// the time to see its response.
extension HTTP2Connection {
    /// The response has gone out before the request was complete: the client has a while to end that.
    func awaitEnd(of stream: StreamPointer, now: Instant) {
        stream.pointee.answeredEarlyAt = now
        if timers.earlyAnswer == nil { timers.earlyAnswer = now + .seconds(limits.earlyAnswerPatience) }
    }

    /// Opens a stream's window by as much as is thrown away of its request, all at once.
    ///
    /// It goes out ahead of the response's end: there are clients that read nothing more once they have that, and would
    /// wait for the window in vain.
    func makeRoom(forTheRestOf stream: StreamPointer) {
        guard limits.maxDrainedBodySize > 0 else { return }
        check(session.extendWindow(of: stream, by: limits.maxDrainedBodySize))
    }

    /// Resets the streams whose requests have gone on for long enough, and sets the time of the next look.
    func stopUnneededRequests(now: Instant) {
        var next: Instant?
        for stream in sink.pointee.streams.live {
            guard let answeredAt = stream.pointee.answeredEarlyAt else { continue }
            let due = answeredAt + .seconds(limits.earlyAnswerPatience)
            if due <= now {
                stream.pointee.answeredEarlyAt = nil
                reset(stream, code: NGHTTP2_NO_ERROR.rawValue)
            } else {
                next = min(next ?? due, due)
            }
        }
        timers.earlyAnswer = next
    }
}
