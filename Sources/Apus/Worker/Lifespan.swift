import ApusGateway
import Logging
import Synchronization

/// The application's lifespan scope: its startup before the first connection, its shutdown after the last.
///
/// An application that returns before it answers startup takes no part in it, and is served all the same; one that
/// throws, or says that startup failed, stops the start (ASGI's lifespan sub-specification, with the stricter reading of
/// a throw: in Swift nobody has to throw in order to decline).
final class Lifespan: EventChannel {
    /// What became of startup or shutdown.
    enum Outcome: Sendable {
        case complete
        case failed(String)
    }

    private enum Phase {
        /// `startup` has not been received, has been, or has been answered.
        case starting
        case startupReceived
        case serving
        /// `shutdown` may be received, has been, or has been answered.
        case stopping
        case shutdownReceived
        case ended
    }

    private struct Protected {
        var phase = Phase.starting
        /// The application's `receive`, while it waits for shutdown.
        var receiver: CheckedContinuation<ReceiveEvent, any Error>?
        /// Who waits for the answer to startup or shutdown.
        var waiter: CheckedContinuation<Outcome, Never>?
        /// An answer that came before anyone waited for it.
        var outcome: Outcome?
        var task: Task<Void, Never>?
    }

    private let state = LifespanState()
    private let logger: Logger
    private let protected = Mutex(Protected())

    init(logger: Logger) {
        self.logger = logger
    }

    // MARK: The server's side

    /// Runs the application's startup.
    ///
    /// - Returns: The state for the requests to come.
    /// - Throws: ``StartupFailed`` with the application's message.
    func startup(_ application: any Application, on executor: any TaskExecutor) async throws(StartupFailed) -> State {
        let task = Task(executorPreference: executor) { [self] in
            do {
                try await application(.lifespan(LifespanScope(state: state)), Receive(self), Send(self))
                ended(nil)
            } catch {
                ended(error)
            }
        }
        protected.withLock { $0.task = task }
        if case .failed(let message) = await answer() { throw StartupFailed(message: message) }
        return state.snapshot
    }

    /// Runs the application's shutdown; returns when it has answered, or has ended.
    func shutdown() async {
        let (receiver, isOver) = protected.withLock { protected in
            guard protected.phase == .serving else {
                return (nil as CheckedContinuation<ReceiveEvent, any Error>?, true)
            }
            protected.phase = protected.receiver == nil ? .stopping : .shutdownReceived
            let receiver = protected.receiver
            protected.receiver = nil
            return (receiver, false)
        }
        guard !isOver else { return }
        receiver?.resume(returning: .shutdown)
        if case .failed(let message) = await answer() {
            logger.error("the application's shutdown failed: \(message)")
        }
    }

    private func answer() async -> Outcome {
        await withCheckedContinuation { continuation in
            let outcome = protected.withLock { protected in
                let outcome = protected.outcome
                protected.outcome = nil
                if outcome == nil { protected.waiter = continuation }
                return outcome
            }
            if let outcome { continuation.resume(returning: outcome) }
        }
    }

    private func settle(_ outcome: Outcome, _ next: Phase) {
        let waiter = protected.withLock { protected in
            protected.phase = next
            let waiter = protected.waiter
            protected.waiter = nil
            if waiter == nil { protected.outcome = outcome }
            return waiter
        }
        waiter?.resume(returning: outcome)
    }

    private func ended(_ error: (any Error)?) {
        switch protected.withLock({ $0.phase }) {
        case .starting, .startupReceived:
            if let error {
                settle(.failed("the application threw at its startup: \(error)"), .ended)
            } else {
                settle(.complete, .ended)
            }
        case .serving:
            protected.withLock { $0.phase = .ended }
            if let error { logger.error("the application's lifespan threw: \(error)") }
        case .stopping, .shutdownReceived:
            settle(error.map { .failed("the application threw at its shutdown: \($0)") } ?? .complete, .ended)
        case .ended:
            if let error { logger.error("the application's lifespan threw: \(error)") }
        }
    }

    // MARK: The application's side

    nonisolated(nonsending) func receive() async throws -> ReceiveEvent {
        try await withCheckedThrowingContinuation { continuation in
            let result: Result<ReceiveEvent, any Error>? = protected.withLock { protected in
                switch protected.phase {
                case .starting:
                    protected.phase = .startupReceived
                    return .success(.startup)
                case .stopping:
                    protected.phase = .shutdownReceived
                    return .success(.shutdown)
                case .startupReceived, .serving:
                    guard protected.receiver == nil else {
                        return .failure(ContractViolation("another receive of the lifespan is still waiting"))
                    }
                    protected.receiver = continuation
                    return nil
                case .shutdownReceived, .ended:
                    return .failure(ContractViolation("nothing follows the shutdown"))
                }
            }
            if let result { continuation.resume(with: result) }
        }
    }

    nonisolated(nonsending) func send(_ event: SendEvent) async throws {
        let phase = protected.withLock { $0.phase }
        switch (event, phase) {
        case (.startupComplete, .starting), (.startupComplete, .startupReceived):
            settle(.complete, .serving)
        case (.startupFailed(let message), .starting), (.startupFailed(let message), .startupReceived):
            settle(.failed(message), .ended)
        case (.shutdownComplete, .stopping), (.shutdownComplete, .shutdownReceived):
            settle(.complete, .ended)
        case (.shutdownFailed(let message), .stopping), (.shutdownFailed(let message), .shutdownReceived):
            settle(.failed(message), .ended)
        default:
            throw ContractViolation("this event is not due on the lifespan scope")
        }
    }
}

/// The application could not start: it threw, or said so.
public struct StartupFailed: Error, CustomStringConvertible {
    /// The application's message.
    public let message: String

    public var description: String { "the application did not start: \(message)" }
}
