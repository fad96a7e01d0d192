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
    private enum Phase {
        case idle
        case starting
        case running(Worker, [Listener])
        case draining(Worker)
        case ended
    }

    private struct Protected {
        var phase = Phase.idle
        /// Whether a shutdown was asked for before the server ran.
        var stopsAtOnce = false
        /// The application's lifespan, once its startup has begun.
        var lifespan: Lifespan?
        /// Why the server ended before it served.
        var failure: (any Error)?
        var waiting: [CheckedContinuation<[Listener], any Error>] = []
        var drained: CheckedContinuation<Void, Never>?

        /// Notes that a shutdown was asked for; gives what it comes to.
        mutating func beginShutdown() -> Shutdown {
            switch phase {
            case .idle, .starting:
                let lifespan = stopsAtOnce ? lifespan : nil
                stopsAtOnce = true
                return lifespan.map { .giveUp($0) } ?? .nothing
            case .running(let worker, _):
                phase = .draining(worker)
                return .drain(worker)
            case .draining(let worker):
                return .terminate(worker)
            case .ended:
                return lifespan.map { .giveUp($0) } ?? .nothing
            }
        }
    }

    /// What a call of ``shutdown()`` comes to.
    private enum Shutdown {
        case nothing
        case drain(Worker)
        case terminate(Worker)
        case giveUp(Lifespan)
    }

    private let configuration: Configuration
    private let application: any Application
    private let logger: Logger
    private let protected = Mutex(Protected())

    /// A server that does not listen yet.
    ///
    /// - Parameters:
    ///   - configuration: How it listens and what it puts up with.
    ///   - application: What answers.
    ///   - logger: Where it tells what happens; the access log goes there at level info.
    public init(configuration: Configuration, application: any Application, logger: Logger) {
        self.configuration = configuration
        self.application = application
        self.logger = logger
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
        let (worker, listeners) = try Binder(configuration: configuration).worker(application, logger)
        try worker.loop.start()
        defer {
            worker.loop.stop()
            worker.loop.join()
        }
        let lifespan = Lifespan(logger: logger)
        worker.state = try await start(lifespan, on: worker.loop)
        try await accept(with: worker, listeners)
        await serve(with: worker)
        await end(lifespan)
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

    /// Runs the application's shutdown, which may take as long as the last requests might.
    private func end(_ lifespan: Lifespan) async {
        // A year stands for ever.
        let patience = min(TimeSpan.seconds(configuration.gracefulTimeout), .seconds(365 * 86_400))
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
    private func accept(with worker: Worker, _ listeners: [Listener]) async throws {
        try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
            worker.loop.submit {
                continuation.resume(with: Result { try worker.startAccepting() })
            }
        }
        let (stops, waiting) = protected.withLock { protected in
            protected.phase = .running(worker, listeners)
            let waiting = protected.waiting
            protected.waiting = []
            return (protected.stopsAtOnce, waiting)
        }
        for continuation in waiting {
            continuation.resume(returning: listeners)
        }
        if stops { shutdown() }
    }

    private func serve(with worker: Worker) async {
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
        case .drain(let worker): worker.loop.submit { worker.drain { self.drained() } }
        case .terminate(let worker): worker.loop.submit { worker.terminateAll("the server stops at once") }
        case .giveUp(let lifespan): lifespan.giveUp("the server stops at once")
        }
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
                case .running(_, let listeners):
                    return .success(listeners)
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
