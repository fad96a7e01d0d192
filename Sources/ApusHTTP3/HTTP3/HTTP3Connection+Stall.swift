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
                giveUp(stream)
            } else {
                next = min(next ?? due, due)
            }
        }
        stallCheck = next
    }

    private func giveUp(_ stream: ConnectionSink.StreamRef) {
        guard isLingering(stream) else { return abandon(stream, .excessiveLoad) }
        // As many as the peer may have open: more would be memory that it can make us hold.
        guard streamsLetGo < limits.maxConcurrentStreams else { return }
        stream.pointee.isLetGo = true
        streamsLetGo += 1
        extendStreams(bidirectional: true)
    }

    /// Whether nothing of a stream is missing but that QUIC closes it, now that the peer was asked to stop sending.
    ///
    /// ngtcp2 1.11 may never do so: what had arrived out of order is forgotten when we stop reading, although it is
    /// acknowledged, and a peer that has sent everything by then need not send RESET_STREAM (RFC 9000 §3.5).
    private func isLingering(_ stream: ConnectionSink.StreamRef) -> Bool {
        stream.pointee.stoppedAt != nil && stream.pointee.applicationEnded
            && (stream.pointee.finSent || stream.pointee.wasReset)
    }

    /// When a stream has stood for too long; nil where it waits for nothing of the peer's.
    private func stallDeadline(_ stream: ConnectionSink.StreamRef) -> Instant? {
        guard !stream.pointee.isClosed, !stream.pointee.isLetGo else { return nil }
        if isLingering(stream), let stoppedAt = stream.pointee.stoppedAt {
            let due = stoppedAt + .seconds(limits.lingerTimeout)
            return streamsLetGo < limits.maxConcurrentStreams || due > latest ? due : nil
        }
        guard !stream.pointee.isGivenUp else { return nil }
        if stream.pointee.body.held > 0 {
            return stream.pointee.progress + .seconds(limits.sendStallTimeout)
        }
        guard !stream.pointee.isDelivered, !stream.pointee.headSubmitted else { return nil }
        // Callbacks have no clock: the first look is taken for the head's beginning.
        if stream.pointee.progress.nanoseconds == 0 { stream.pointee.progress = latest }
        return stream.pointee.progress + .seconds(limits.headTimeout)
    }
}
