extension HTTP1Connection {
    /// What the connection waits for, and only for so long.
    enum Wait: Hashable {
        case nothing
        /// The rest of a head, or the first request.
        case head
        /// Another request.
        case nextRequest
        /// More of a request body.
        case body
    }

    /// When ``handleTimeout(now:)`` is to be called.
    package var deadline: Instant? {
        guard wait != .nothing else { return nil }
        // Without a start it is at most too early: the timeout then only notes the time.
        return (waitStart ?? latest) + timeout
    }

    private var timeout: TimeSpan {
        switch wait {
        case .nothing: TimeSpan(nanoseconds: .max)
        case .head: .seconds(limits.headTimeout)
        case .nextRequest: .seconds(limits.keepAliveTimeout)
        case .body: .seconds(limits.bodyStallTimeout)
        }
    }

    /// Acts on a deadline that has passed; an earlier call does nothing.
    package func handleTimeout(now: Instant) {
        latest = now
        guard let start = waitStart else {
            waitStart = now
            return
        }
        guard wait != .nothing, now >= start + timeout else { return }
        switch wait {
        case .head where waitingInput > 0: refuse(RequestRefusal(408, "the request head took too long"))
        case .body: refuse(RequestRefusal(408, "the request body took too long"))
        case .nothing, .head, .nextRequest: close()
        }
        settleWait(now)
    }

    /// Starts the clock anew where the connection waits for something else than before, or for more of a body that has
    /// made progress.
    ///
    /// - Parameter now: Nil where the time is not known; the next call that tells it starts the clock.
    func settleWait(_ now: Instant?, progress: Bool = false) {
        let next = currentWait
        if next != wait || progress && next == .body {
            wait = next
            waitStart = now
        } else if waitStart == nil {
            waitStart = now
        }
    }

    private var currentWait: Wait {
        switch reading {
        case .closed, .complete, .tunnel: .nothing
        case .head where output.count > limits.streamSendLowWater: .nothing
        case .head: requestCount == 0 || waitingInput > 0 ? .head : .nextRequest
        case .length, .chunked, .trailers:
            // An application that does not take what it has is no fault of the client's.
            isRequestLive && (unconsumed > 0 || request.awaitsContinue) ? .nothing : .body
        }
    }
}
