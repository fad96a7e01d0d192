import ApusHTTP

/// Streams that the peer lets stand: a head that does not end, a response that is not taken.
///
/// The connection itself may be lively all the while, so that QUIC's idle timeout does not see them.
extension HTTP3Connection {
    /// Makes sure that streams are looked at when so much time has passed.
    func watchForStalls(within span: TimeSpan) {
        let due = latest + span
        guard stallCheck.map({ due < $0 }) ?? true else { return }
        stallCheck = due
        endpoint.schedule(self)
    }

    /// Gives up what has stood for too long, and sets the time of the next look.
    func checkStalls(now: Instant) {
        guard let due = stallCheck, due <= now else { return }
        drain()
        var next: Instant?
        for stream in sink.pointee.streams.all {
            guard disposition == .open, let due = stallDeadline(stream) else { continue }
            if due <= now {
                abandon(stream, .excessiveLoad)
            } else {
                next = min(next ?? due, due)
            }
        }
        stallCheck = next
    }

    /// When a stream has stood for too long; nil where it waits for nothing of the peer's.
    private func stallDeadline(_ stream: ConnectionSink.StreamRef) -> Instant? {
        guard !stream.pointee.isClosed, !stream.pointee.isGivenUp else { return nil }
        if stream.pointee.body.held > 0 {
            return stream.pointee.progress + .seconds(limits.sendStallTimeout)
        }
        guard !stream.pointee.isDelivered, !stream.pointee.headSubmitted else { return nil }
        // Callbacks have no clock: the first look is taken for the head's beginning.
        if stream.pointee.progress.nanoseconds == 0 { stream.pointee.progress = latest }
        return stream.pointee.progress + .seconds(limits.headTimeout)
    }
}
