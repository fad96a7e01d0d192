import ApusHTTP
import CNghttp2

extension HTTP2Connection {
    /// Seconds between the two GOAWAYs at the most, in which requests on their way arrive (RFC 9113 §6.8). A client that reads
    /// answers the PING behind the first one, and is told the last request then; one that is busy has time.
    static let noticePeriod = 5.0

    /// When ``handleTimeout(now:)`` is to be called.
    package var deadline: Instant? {
        hasFailed ? nil : timers.earliest
    }

    /// Does what is due at this time.
    package func handleTimeout(now: Instant) {
        guard !hasFailed else { return }
        sink.pointee.now = now
        if let due = timers.finalGoaway, due <= now { noticeWasRead() }
        if let due = timers.stall, due <= now { resetStalledStreams(now: now) }
        if let due = timers.firstRequest, due <= now {
            timeOut("no request came in time")
        } else if let due = timers.headerBlock, due <= now {
            timeOut("a header block was not completed in time")
        } else if let due = timers.idle, due <= now {
            closeIfIdle(now: now)
        }
    }

    private func closeIfIdle(now: Instant) {
        let due = (timers.idleSince ?? now) + .seconds(limits.keepAliveTimeout)
        timers.idle = due
        // RFC 9113 §9.1: GOAWAY before an idle connection is closed. Nothing is wrong.
        if due <= now { session.terminate(code: NGHTTP2_NO_ERROR.rawValue) }
    }

    private func timeOut(_ reason: String) {
        fail(ConnectionError(.timeout, "HTTP/2: \(reason)"), code: NGHTTP2_NO_ERROR)
    }

    /// Keeps the timers in step with what there is to wait for.
    func trackActivity(now: Instant) {
        let openBlock = sink.pointee.openBlock?.pointee.id
        timers.headerBlockIsOpen(on: openBlock, until: now + .seconds(limits.headTimeout))
        if !sink.pointee.streams.live.isEmpty {
            timers.idleSince = nil
            if timers.stall == nil { timers.stall = now + .seconds(limits.sendStallTimeout) }
        } else if timers.idleSince == nil, timers.firstRequest == nil {
            timers.idleSince = now
            if timers.idle == nil { timers.idle = now + .seconds(limits.keepAliveTimeout) }
        }
    }

    /// Resets streams of whose body the peer has not taken a byte for too long: a window held shut keeps our memory
    /// (CVE-2026-49975).
    private func resetStalledStreams(now: Instant) {
        var next: Instant?
        for stream in sink.pointee.streams.live where stream.pointee.isSending {
            // Where the windows are open, it is our turn and not the peer's.
            if !session.isBlocked(stream) { stream.pointee.lastProgress = now }
            let due = stream.pointee.lastProgress + .seconds(limits.sendStallTimeout)
            if due <= now {
                reset(stream, code: NGHTTP2_CANCEL.rawValue)
            } else {
                next = min(next ?? due, due)
            }
        }
        let hasStreams = !sink.pointee.streams.live.isEmpty
        timers.stall = next ?? (hasStreams ? now + .seconds(limits.sendStallTimeout) : nil)
    }

    // MARK: - Shutdown

    /// Asks the peer for no more requests; those that are here or on their way are finished.
    package func shutdown(now: Instant) {
        guard !hasFailed, timers.finalGoaway == nil, !isDraining else { return }
        isDraining = true
        session.submitShutdownNotice()
        timers.finalGoaway = now + .seconds(Self.noticePeriod)
    }

    /// The first GOAWAY has gone out: only an answer to a PING behind it tells that the peer has read it.
    func noticeWasSent() {
        guard timers.finalGoaway != nil else { return }
        session.submitPing()
        hasQueuedMore = true
    }

    /// The peer knows that we leave: names the last request that is taken.
    func noticeWasRead() {
        guard timers.finalGoaway != nil else { return }
        timers.finalGoaway = nil
        session.submitGoaway()
        hasQueuedMore = true
    }
}
