import ApusGateway
import ApusHTTP
import ApusTransport
import Logging
import Synchronization

/// The workers of one process, each on a loop of its own.
final class WorkerGroup: Sendable {
    let workers: [Worker]
    let listeners: [Listener]
    /// Those that the server has opened itself; nil where they are a supervisor's.
    private let sockets: ServerSockets?
    /// What the workers forward datagrams by.
    private let forwarding: ForwardingPairs?
    /// Workers that have still to leave the sockets to others, and those that still have connections.
    private let accepting: Atomic<Int>
    private let serving: Atomic<Int>

    private init(
        _ workers: [Worker],
        _ listeners: [Listener],
        sockets: ServerSockets? = nil,
        forwarding: ForwardingPairs? = nil
    ) {
        self.workers = workers
        self.listeners = listeners
        self.sockets = sockets
        self.forwarding = forwarding
        accepting = Atomic(workers.count)
        serving = Atomic(workers.count)
    }

    /// One worker of several processes.
    static func member(
        _ membership: Membership,
        _ configuration: Configuration,
        _ application: any Application,
        _ logger: Logger
    ) throws -> WorkerGroup {
        let worker = try Worker(
            configuration: configuration,
            application: application,
            logger: logger,
            membership: membership,
            isStandalone: false
        )
        return WorkerGroup([worker], membership.sockets.listeners(offering: configuration.tcpProtocols))
    }

    /// All workers of a server, as many as the configuration has loops.
    static func standalone(
        _ configuration: Configuration,
        _ opened: OpenedServer,
        _ application: any Application,
        _ logger: Logger
    ) throws -> WorkerGroup {
        let (secrets, sockets) = (opened.secrets, opened.sockets)
        let slots = Array(0..<sockets.slotCount)
        for warning in sockets.warnings { logger.warning("\(warning)") }
        let forwarding = slots.count > 1 ? try ForwardingPairs(slotCount: slots.count) : nil
        let workers = try slots.map { slot in
            let membership = Membership(
                slot: slot,
                slotCount: slots.count,
                sockets: sockets.sockets(of: slot),
                secrets: secrets,
                identity: opened.identity,
                forwarding: forwarding?.forwarding(of: slot)
            )
            return try Worker(
                configuration: configuration,
                application: application,
                logger: logger,
                membership: membership,
                isStandalone: true
            )
        }
        for worker in workers { worker.setNewcomers(slots) }
        try sockets.steer(newcomers: slots, key: secrets.steeringKey, slotCount: slots.count)
        return WorkerGroup(workers, sockets.listeners, sockets: sockets, forwarding: forwarding)
    }

    // MARK: - Life

    /// The loop on which the application starts.
    var firstLoop: EventLoop { workers[0].loop }

    func start() throws(SystemError) {
        for worker in workers { try worker.loop.start() }
    }

    /// Ends the loops, and closes what was opened here. Nothing is under way any more.
    func stop() {
        for worker in workers { worker.loop.stop() }
        for worker in workers { worker.loop.join() }
        sockets?.close()
    }

    /// Begins to accept on all loops; returns when all do.
    func accept(with state: State) async throws {
        for worker in workers {
            try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
                worker.loop.submit {
                    worker.state = state
                    continuation.resume(with: Result { try worker.startAccepting() })
                }
            }
        }
    }

    /// Does something on every loop.
    func onEach(_ work: @escaping @Sendable (Worker) -> Void) {
        for worker in workers {
            worker.loop.submit { work(worker) }
        }
    }

    /// Lets requests finish until the graceful timeout, then ends them; calls back when all is over.
    ///
    /// - Parameter othersStay: Whether other workers of the same server go on.
    func drain(othersStay: Bool, _ whenDone: @escaping @Sendable () -> Void) {
        onEach { [self] worker in
            worker.drain(othersStay: othersStay) { [self] in
                // Not before the last one has taken what waits in a socket that it shares with the others.
                if accepting.subtract(1, ordering: .acquiringAndReleasing).newValue == 0 { sockets?.closeStreams() }
            } _: { [self] in
                if serving.subtract(1, ordering: .acquiringAndReleasing).newValue == 0 { whenDone() }
            }
        }
    }
}
