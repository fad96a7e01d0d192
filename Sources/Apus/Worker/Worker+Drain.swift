import ApusGateway
import ApusHTTP
import ApusTransport
import Logging

/// How a worker leaves: requests finish, then applications.
extension Worker {
    /// Lets requests finish until the graceful timeout, then ends them.
    ///
    /// Where others stay, it goes on to accept from the sockets of its slot, for those who were sent there before the kernel
    /// was told otherwise, and leaves what is shared to the others. Where everybody goes, who has been let in already is
    /// served, and nobody after that: else a drain under load would not end.
    ///
    /// - Parameters:
    ///   - othersStay: Whether other workers of the server serve what is new.
    ///   - whenClosed: Called at once: what can be left to others is left.
    ///   - whenDone: Called when all connections are over, and all applications, but those that do not end when cancelled.
    func drain(
        othersStay: Bool,
        whenClosed: @Sendable () -> Void = {},
        _ whenDone: @escaping @Sendable () -> Void
    ) {
        isDraining = true
        // A standalone worker's sockets are about to be closed, whoever else there is.
        self.othersStay = othersStay && !isStandalone
        drained = whenDone
        // Where the whole server goes, nobody may be left waiting in a queue that is never looked at again: the last process
        // to close a socket has the kernel refuse who comes. The loops of a standalone server close theirs together.
        let isClosing = !isStandalone && !othersStay
        for intake in intakes {
            intake.acceptTheLast(ofShared: self.othersStay, isClosing: isClosing) { roomForConnections }
        }
        whenClosed()
        for driver in connections.values {
            driver.closeWebSockets(farewellCode)
            driver.shutdown()
        }
        for place in places.values { place.quic?.shutdown() }
        let timer = LoopTimer(loop: loop, handler: self)
        timer.set(loop.now + .seconds(configuration.gracefulTimeout))
        drainTimer = timer
        finishDrainIfOver()
    }

    /// What WebSockets are told, which have no end of their own: to come again, or to go away.
    var farewellCode: WebSocketCloseCode { othersStay ? .serviceRestart : .goingAway }

    /// Ends every connection now, and waits for no application.
    func terminateAll(_ reason: String) {
        endConnections(reason)
        finishDrain()
    }

    private func endConnections(_ reason: String) {
        // Nobody is let in who would be ended, too.
        admitNobody()
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
        guard drained != nil, connections.isEmpty, leftApplications.isEmpty else { return }
        // The last look: who waits would wait on until this process has ended, and another reads the slot.
        for intake in intakes { intake.acceptWaiting(atMost: roomForConnections) }
        if connections.isEmpty { finishDrain() }
    }

    private func finishDrain() {
        guard let drained else { return }
        self.drained = nil
        drainTimer?.set(nil)
        // What goes on goes on without the loop.
        leftApplications = [:]
        // This loop may end at any moment.
        admitNobody()
        drained()
    }

    /// Has everybody who comes from here on wait in the kernel for the slot's next reader.
    private func admitNobody() {
        for intake in intakes {
            intake.stopAccepting()
            // Newcomers over QUIC are among what workers send here that do not know yet; where everybody goes, they are
            // refused.
            if othersStay { intake.stopForwarded() }
        }
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
        drainTimer?.set(now + .seconds(configuration.partingGrace))
        endConnections("the graceful timeout is over")
    }

    private func cancelApplications(_ now: Instant) {
        drainStep = .cancelled
        drainTimer?.set(now + .seconds(DrainStep.cancellationPatience))
        for stream in leftApplications.values { stream.cancelTask() }
    }
}
