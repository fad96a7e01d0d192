/// How far a server has come, and who waits for it to come further.
struct ServerState {
    enum Phase {
        case idle
        case starting
        case running(WorkerGroup)
        case draining(WorkerGroup)
        case ended
    }

    /// What a call of ``Server/shutdown()`` comes to.
    enum Shutdown {
        case nothing
        case drain(WorkerGroup)
        case terminate(WorkerGroup)
        case giveUp(Lifespan)
    }

    /// What is asked of the workers before there are any, while there are, and after.
    private enum Workers {
        case none(asked: [@Sendable (Worker) -> Void])
        case some(WorkerGroup)
        case gone
    }

    var phase = Phase.idle
    /// Whether a shutdown was asked for before the server ran.
    var stopsAtOnce = false
    /// The application's lifespan, once its startup has begun.
    var lifespan: Lifespan?
    /// Why the server ended before it served.
    var failure: (any Error)?
    var waiting: [CheckedContinuation<[Listener], any Error>] = []
    var drained: CheckedContinuation<Void, Never>?
    private var workers = Workers.none(asked: [])

    /// Notes that a shutdown was asked for; gives what it comes to.
    mutating func beginShutdown() -> Shutdown {
        switch phase {
        case .idle, .starting:
            let lifespan = stopsAtOnce ? lifespan : nil
            stopsAtOnce = true
            return lifespan.map { .giveUp($0) } ?? .nothing
        case .running(let workers):
            phase = .draining(workers)
            return .drain(workers)
        case .draining(let workers):
            return .terminate(workers)
        case .ended:
            return lifespan.map { .giveUp($0) } ?? .nothing
        }
    }

    // MARK: - Workers

    /// Takes the workers once there are any, and asks of them what was asked before.
    mutating func take(_ group: WorkerGroup) {
        if case .none(let asked) = workers { asked.forEach { group.onEach($0) } }
        workers = .some(group)
    }

    /// Has the workers do something, in the order of the calls; false where they are gone.
    mutating func ask(_ work: @escaping @Sendable (Worker) -> Void) -> Bool {
        switch workers {
        case .none(let asked): workers = .none(asked: asked + [work])
        case .some(let group): group.onEach(work)
        case .gone: return false
        }
        return true
    }

    /// Lets go of the workers, and of what was asked of them.
    mutating func end() {
        workers = .gone
    }
}
