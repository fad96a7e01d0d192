import ApusGateway
import ApusHTTP
import ApusTransport
import Logging
import ServiceLifecycle
import Synchronization

/// An application server inside a process: no signal handlers, no child processes, nothing global.
///
/// ```swift
/// var configuration = Configuration()
/// configuration.binds = [.address(host: "127.0.0.1", port: 0)]
/// let server = Server(configuration: configuration, application: Hello(), logger: Logger(label: "hello"))
/// try await server.run()
/// ```
///
/// One server runs once. As a `Service` it drains when its group shuts down gracefully.
public final class Server: Service, Sendable {
    let configuration: Configuration
    private let application: any Application
    private let logger: Logger
    /// nil: the server has its own sockets.
    private let membership: Membership?
    /// nil: it has still to open them.
    private let opened: OpenedServer?
    private let secrets: ServerSecrets
    let protected = Mutex(ServerState())

    /// A server that does not listen yet.
    ///
    /// - Parameters:
    ///   - configuration: How it listens and what it puts up with.
    ///   - application: What answers.
    ///   - logger: Where it tells what happens; the access log goes there at level info.
    public convenience init(configuration: Configuration, application: any Application, logger: Logger) {
        self.init(configuration: configuration, application: application, logger: logger, membership: nil)
    }

    /// One worker of a supervisor, with the sockets of its slot; or, without a membership, a server of its own, which may
    /// have been opened before.
    package init(
        configuration: Configuration,
        application: any Application,
        logger: Logger,
        membership: Membership?,
        opened: OpenedServer? = nil
    ) {
        self.configuration = configuration
        self.application = application
        self.logger = logger
        self.membership = membership
        self.opened = opened
        secrets = membership?.secrets ?? opened?.secrets ?? .random()
    }

    /// Listens, starts the application, serves until a shutdown, and has the application clean up.
    ///
    /// Cancelling the task ends every connection at once; the application's shutdown still runs.
    ///
    /// - Throws: ``ConfigurationError`` before any port is opened, ``BindError``, ``StartupFailed``.
    public func run() async throws {
        try begin()
        do {
            try await serve()
            finish(ServerEnded())
        } catch {
            finish(error)
            throw error
        }
    }

    private func serve() async throws {
        let workers = try makeWorkers()
        try workers.start()
        defer { workers.stop() }
        protected.withLock { $0.take(workers) }
        let lifespan = Lifespan(logger: logger)
        let state = try await start(lifespan, on: workers.firstLoop)
        try await accept(with: workers, state)
        await serve(with: workers)
        await end(lifespan)
    }

    private func makeWorkers() throws -> WorkerGroup {
        guard let membership else {
            let opened = try opened ?? .open(configuration, secrets)
            return try .standalone(configuration, opened, application, logger)
        }
        return try .member(membership, configuration, application, logger)
    }

    /// Runs the application's startup; cancelling the task, or a second shutdown, gives up on one that hangs.
    private func start(_ lifespan: Lifespan, on loop: EventLoop) async throws(StartupFailed) -> State {
        protected.withLock { $0.lifespan = lifespan }
        let executor: any TaskExecutor = configuration.executor == .loop ? loop : globalConcurrentExecutor
        lifespan.start(application, on: executor)
        let failure = await withTaskCancellationHandler {
            await lifespan.startup()
        } onCancel: {
            lifespan.giveUp("the start was cancelled")
        }
        if let failure { throw failure }
        return lifespan.preparedState
    }

    /// Runs the application's shutdown.
    private func end(_ lifespan: Lifespan) async {
        let patience = configuration.lifespanPatience
        let watchdog = Task {
            try await Task.sleep(for: .nanoseconds(Int64(patience.nanoseconds)))
            lifespan.giveUp("it took longer than the graceful timeout")
        }
        await lifespan.shutdown()
        watchdog.cancel()
    }

    private func begin() throws {
        try protected.withLock { protected in
            guard case .idle = protected.phase else {
                throw ContractViolation("a server runs once")
            }
            protected.phase = .starting
        }
    }

    /// Begins to accept and tells who waits for the ports; drains at once where a shutdown came first.
    private func accept(with workers: WorkerGroup, _ state: State) async throws {
        try await workers.accept(with: state)
        let (stops, waiting) = protected.withLock { protected in
            protected.phase = .running(workers)
            let waiting = protected.waiting
            protected.waiting = []
            return (protected.stopsAtOnce, waiting)
        }
        for continuation in waiting {
            continuation.resume(returning: workers.listeners)
        }
        if stops { shutdown() }
    }

    private func serve(with workers: WorkerGroup) async {
        await withTaskCancellationHandler {
            await withGracefulShutdownHandler {
                await withCheckedContinuation { continuation in
                    let isOver = protected.withLock { protected in
                        if case .ended = protected.phase { return true }
                        protected.drained = continuation
                        return false
                    }
                    if isOver { continuation.resume() }
                }
            } onGracefulShutdown: {
                self.shutdown()
            }
        } onCancel: {
            self.stop()
        }
    }

    /// Begins to drain: no new connections, requests may finish until the graceful timeout. A second call ends at once.
    ///
    /// ``run()`` returns when it is done. While the application starts or cleans up, a further call gives up on that.
    /// Harmless before and after.
    public func shutdown() {
        switch protected.withLock({ $0.beginShutdown() }) {
        case .nothing: return
        case .drain(let workers): drain(workers, othersStay: false)
        case .terminate(let workers): workers.onEach { $0.terminateAll("the server stops at once") }
        case .giveUp(let lifespan): lifespan.giveUp("the server stops at once")
        }
    }

    func drain(_ workers: WorkerGroup, othersStay: Bool) {
        workers.drain(othersStay: othersStay) { self.drained() }
    }

    /// Reads the certificate again, for connections from now on; those that are open keep theirs.
    ///
    /// Nothing happens where there is none. The files are read before this returns.
    ///
    /// - Throws: ``ConfigurationError`` where it cannot be used: then the old one stays.
    public func reloadCertificates() throws(ConfigurationError) {
        guard let identity = try ServerIdentity.load(configuration, secrets) else { return }
        onEachWorker { $0.use(identity) }
    }

    /// Ends every connection, whatever it is doing.
    private func stop() {
        shutdown()
        shutdown()
    }

    private func drained() {
        let continuation = protected.withLock { protected in
            protected.phase = .ended
            let continuation = protected.drained
            protected.drained = nil
            return continuation
        }
        continuation?.resume()
    }

    private func finish(_ error: any Error) {
        let waiting = protected.withLock { protected in
            protected.phase = .ended
            protected.end()
            protected.lifespan = nil
            protected.failure = error
            let waiting = protected.waiting
            protected.waiting = []
            return waiting
        }
        for continuation in waiting {
            continuation.resume(throwing: error)
        }
    }

    /// Waits until the server listens; gives the places with their real ports.
    ///
    /// - Throws: what ``run()`` threw, where it ended before.
    public func listeners() async throws -> [Listener] {
        try await withCheckedThrowingContinuation { continuation in
            let result: Result<[Listener], any Error>? = protected.withLock { protected in
                switch protected.phase {
                case .idle, .starting:
                    protected.waiting.append(continuation)
                    return nil
                case .running(let workers):
                    return .success(workers.listeners)
                case .draining, .ended:
                    return .failure(protected.failure ?? ServerEnded())
                }
            }
            if let result { continuation.resume(with: result) }
        }
    }
}

/// The server has ended, or is about to.
public struct ServerEnded: Error, CustomStringConvertible {
    public var description: String { "the server has ended" }
}
