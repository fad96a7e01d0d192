import ApusHTTP

/// Is told, on the loop's thread, that its timer's deadline has passed.
package protocol TimerHandler: AnyObject {
    func timerFired(now: Instant)
}

/// One deadline on an event loop, cheap to move.
///
/// Moving the deadline later, or clearing it, is a store; only an earlier one touches the queue. The
/// timer does not keep its handler alive: the handler owns the timer and sets it on the loop's thread. It
/// may die there at any time, on another thread only once it has disarmed the timer: nothing orders a
/// handler's end elsewhere against its timer's firing.
package final class LoopTimer {
    private let loop: EventLoop
    private let node: TimerNode

    /// A timer that is not set; `handler` may come later, from an initialiser that has to finish first.
    package init(loop: EventLoop, handler: (any TimerHandler)? = nil) {
        self.loop = loop
        node = TimerNode()
        node.handler = handler
    }

    /// Who is called; not retained.
    package var handler: (any TimerHandler)? {
        get { node.handler }
        set { node.handler = newValue }
    }

    /// When the timer will fire, if it is set.
    package var deadline: Instant? {
        node.deadline == .distantFuture ? nil : node.deadline
    }

    /// Fires once when `deadline` is reached, instead of at any time set before; nil disarms. A deadline
    /// that has passed fires in the next turn (or this one, if its timers are still to come).
    package func set(_ deadline: Instant?) {
        loop.preconditionOnLoop()
        node.deadline = deadline ?? .distantFuture
        if node.deadline < node.queuedAt { loop.timers.schedule(node) }
    }

    deinit {
        assert(deadline == nil || loop.isOnLoop || !loop.firesTimers, "an armed timer died off its loop")
        // The queue keeps only the node, so that whatever it holds now can no longer reach the handler.
        node.deadline = .distantFuture
        node.handler = nil
        if loop.isOnLoop {
            loop.timers.remove(node)
        } else {
            let (loop, node) = (loop, SendableNode(node: node))
            loop.submit { loop.timers.remove(node.node) }
        }
    }
}

/// Carries a node to the loop's thread, the only place where it is looked at once its timer is gone.
private struct SendableNode: @unchecked Sendable {
    let node: TimerNode
}

/// What the queue knows of a timer.
final class TimerNode {
    /// When to fire; `distantFuture` while disarmed.
    var deadline = Instant.distantFuture
    /// The time under which the queue holds the node, never later than `deadline`; `distantFuture` if it does not.
    var queuedAt = Instant.distantFuture
    /// The node's place in the heap, while it is there.
    var index = 0
    /// The owner of the timer: cleared by the timer's deinit, which comes before the owner's memory goes.
    unowned var handler: (any TimerHandler)?

    var isQueued: Bool { queuedAt != .distantFuture }
}
