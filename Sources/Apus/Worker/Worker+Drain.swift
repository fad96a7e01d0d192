import ApusGateway
import ApusHTTP
import ApusTransport
import Logging

/// How far a drain has come.
enum DrainStep {
    /// Seconds of ``Configuration/disconnectGrace`` that count: an end must be in sight.
    static let longestGrace = 5.0
    /// Seconds that applications have to end once they are cancelled.
    static let cancellationPatience = 1.0

    /// Requests may finish.
    case serving
    /// Connections have ended; applications know that their clients are gone.
    case parting
    /// Applications are cancelled.
    case cancelled
}

/// How a worker leaves: requests finish, then applications.
extension Worker {
    /// Lets requests finish until the graceful timeout, then ends them.
    ///
    /// A standalone worker accepts nobody new. Any other goes on to accept from the sockets of its slot, for those who were
    /// sent there before the kernel was told otherwise, and leaves what is shared to the others.
    ///
    /// - Parameters:
    ///   - code: What open WebSockets are told, which have no end of their own: to go away, or to come again.
    ///   - whenClosed: Called at once: what can be left to others is left.
    ///   - whenDone: Called when all connections are over, and all applications, but those that do not end when cancelled.
    func drain(
        closingWebSocketsWith code: WebSocketCloseCode,
        whenClosed: @Sendable () -> Void = {},
        _ whenDone: @escaping @Sendable () -> Void
    ) {
        isDraining = true
        drained = whenDone
        for intake in intakes {
            guard isStandalone else {
                intake.stopAcceptingShared()
                continue
            }
            // Clients that the kernel has let in already are served, not reset.
            if !isPaused { intake.acceptWaiting(atMost: configuration.backlog) }
            intake.stopAccepting()
        }
        whenClosed()
        for driver in connections.values {
            driver.closeWebSockets(code)
            driver.shutdown()
        }
        for place in places.values { place.quic?.shutdown() }
        let timer = LoopTimer(loop: loop, handler: self)
        timer.set(loop.now + .seconds(configuration.gracefulTimeout))
        drainTimer = timer
        finishDrainIfOver()
    }

    /// Ends every connection now, and waits for no application.
    func terminateAll(_ reason: String) {
        endConnections(reason)
        finishDrain()
    }

    private func endConnections(_ reason: String) {
        for driver in connections.values {
            driver.terminate(reason)
        }
    }

    /// An application's client is gone, perhaps with its connection: a drain waits for the application all the same.
    func left(_ stream: RequestStream) {
        // Once a drain is over nobody waits.
        guard !isDraining || drained != nil else { return }
        leftApplications[ObjectIdentifier(stream)] = stream
    }

    /// An application that was left has ended.
    func ended(_ stream: RequestStream) {
        leftApplications[ObjectIdentifier(stream)] = nil
        finishDrainIfOver()
    }

    func finishDrainIfOver() {
        if isDraining, connections.isEmpty, leftApplications.isEmpty { finishDrain() }
    }

    private func finishDrain() {
        guard let drained else { return }
        self.drained = nil
        drainTimer?.set(nil)
        // What goes on goes on without the loop.
        leftApplications = [:]
        // Who comes from here on waits in the kernel for the slot's next reader: this loop may end at any moment.
        for intake in intakes { intake.stopAccepting() }
        drained()
    }
}

extension Worker: TimerHandler {
    /// The time of the drain's present step is over.
    func timerFired(now: Instant) {
        switch drainStep {
        case .serving: endServing(now)
        case .parting: cancelApplications(now)
        case .cancelled:
            logger.warning(
                "\(leftApplications.count) applications go on although they were cancelled: they are left alone"
            )
            terminateAll("the graceful timeout is over")
        }
        finishDrainIfOver()
    }

    private func endServing(_ now: Instant) {
        let busy = connections.values.count { $0.hasRequests }
        if busy > 0 {
            logger.warning("\(busy) connections have requests after the graceful timeout: they end now")
        }
        drainStep = .parting
        drainTimer?.set(now + .seconds(min(configuration.disconnectGrace, DrainStep.longestGrace)))
        for intake in intakes { intake.stopAccepting() }
        endConnections("the graceful timeout is over")
    }

    private func cancelApplications(_ now: Instant) {
        drainStep = .cancelled
        drainTimer?.set(now + .seconds(DrainStep.cancellationPatience))
        for stream in leftApplications.values { stream.cancelTask() }
    }
}
