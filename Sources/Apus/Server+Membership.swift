import Glibc
import Synchronization

// What a supervisor asks of a worker. It happens on the worker's loop, in the order of the calls; before the server has a
// worker it waits for one.
extension Server {
    /// Whether the server accepts: its application has started.
    package var isReady: Bool {
        protected.withLock { protected in
            if case .running = protected.phase { return true }
            return false
        }
    }

    /// Learns which slots get new connections, in the order that the kernel was told too.
    package func setNewcomers(_ slots: [Int]) {
        onEachWorker { $0.setNewcomers(slots) }
    }

    /// Reads the sockets of a slot that has no worker, too, and answers for the connections that it had.
    ///
    /// - Parameter receiver: Where others forward that slot's datagrams to; taken over.
    package func adopt(_ slot: Int, _ sockets: SlotSockets, receiver: Int32) {
        let isTaken = onEachWorker { $0.adopt(slot, sockets, receiver: receiver) }
        if !isTaken { close(receiver) }
    }

    /// Leaves an adopted slot to its next worker; calls back when nothing of it is read here any more.
    package func release(_ slot: Int, then: @escaping @Sendable () -> Void) {
        let isTaken = onEachWorker {
            $0.release(slot)
            then()
        }
        if !isTaken { then() }
    }

    /// Reads the UDP sockets that several workers have, and forwards, or leaves that to another.
    package func setReader(_ isReader: Bool) {
        onEachWorker { $0.setReader(isReader) }
    }

    /// Tells what there is to tell, from the loop: no answer comes from a loop that does not turn, or that has ended.
    package func report(_ then: @escaping @Sendable (WorkerReport) -> Void) {
        onEachWorker { then($0.report()) }
    }

    /// Begins to drain, as ``shutdown()`` does; a further call of this one does nothing.
    ///
    /// - Parameter reloading: Whether others of the same server stay: who comes is served still, clients of WebSockets are told to
    ///   come again.
    package func shutdown(reloading: Bool) {
        let shutdown = protected.withLock { protected -> ServerState.Shutdown in
            switch protected.phase {
            case .draining, .ended: .nothing
            case .idle, .starting: protected.stopsAtOnce ? .nothing : protected.beginShutdown()
            case .running: protected.beginShutdown()
            }
        }
        guard case .drain(let workers) = shutdown else { return }
        drain(workers, othersStay: reloading)
    }

    /// Does something on the loop of each worker, as soon as there are workers; false where they are gone.
    @discardableResult
    func onEachWorker(_ work: @escaping @Sendable (Worker) -> Void) -> Bool {
        protected.withLock { $0.ask(work) }
    }
}
