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
        /// What requests will see: the state when startup was answered.
        var prepared = State()
        var task: Task<Void, Never>?

        /// Takes an answer; gives who is to be resumed with it.
        mutating func settle(_ outcome: Outcome, _ next: Phase) -> CheckedContinuation<Outcome, Never>? {
            phase = next
            if waiter == nil { self.outcome = outcome }
            return waiter.take()
        }
    }

    private let state = LifespanState()
    private let logger: Logger
    private let protected = Mutex(Protected())

    init(logger: Logger) {
        self.logger = logger
    }

    // MARK: The server's side

    /// Starts the application.
    func start(_ application: any Application, on executor: any TaskExecutor) {
        let task = Task(executorPreference: executor) { [self] in
            do {
                try await application(.lifespan(LifespanScope(state: state)), Receive(self), Send(self))
                ended(nil)
            } catch {
                ended(error)
            }
        }
        protected.withLock { $0.task = task }
    }

    /// Waits for the application's answer to startup; gives its message where it could not start.
    func startup() async -> StartupFailed? {
        guard case .failed(let message) = await answer() else { return nil }
        return StartupFailed(message: message)
    }

    /// What the application had prepared when it answered startup.
    var preparedState: State { protected.withLock { $0.prepared } }

    /// Runs the application's shutdown; returns when it has answered, or has ended.
    func shutdown() async {
        let (receiver, isOver) = protected.withLock { protected in
            guard protected.phase == .serving else {
                return (nil as CheckedContinuation<ReceiveEvent, any Error>?, true)
            }
            protected.phase = protected.receiver == nil ? .stopping : .shutdownReceived
            return (protected.receiver.take(), false)
        }
        guard !isOver else { return }
        receiver?.resume(returning: .shutdown)
        if case .failed(let message) = await answer() {
            logger.error("the application's shutdown failed: \(message)")
        }
    }

    /// Waits no longer for an answer that is due, and cancels the application's task.
    func giveUp(_ reason: String) {
        let (waiter, receiver, task) = protected.withLock { protected in
            let isDue = protected.phase != .serving && protected.phase != .ended
            let waiter = isDue ? protected.settle(.failed(reason), .ended) : nil
            return (waiter, isDue ? protected.receiver.take() : nil, isDue ? protected.task : nil)
        }
        task?.cancel()
        receiver?.resume(throwing: CancellationError())
        waiter?.resume(returning: .failed(reason))
    }

    private func answer() async -> Outcome {
        await withCheckedContinuation { continuation in
            let outcome = protected.withLock { protected in
                let outcome = protected.outcome.take()
                if outcome == nil { protected.waiter = continuation }
                return outcome
            }
            if let outcome { continuation.resume(returning: outcome) }
        }
    }

    /// The application has returned or thrown.
    private func ended(_ error: (any Error)?) {
        let (outcome, waiter) = protected.withLock { protected in
            protected.task = nil
            guard let outcome = Self.outcome(of: error, in: protected.phase) else {
                protected.phase = .ended
                return (nil as Outcome?, nil as CheckedContinuation<Outcome, Never>?)
            }
            return (outcome, protected.settle(outcome, .ended))
        }
        if let outcome {
            waiter?.resume(returning: outcome)
        } else if let error {
            logger.error("the application's lifespan threw: \(error)")
        }
    }

    /// What the application's end says where an answer is due; nil where none is.
    private static func outcome(of error: (any Error)?, in phase: Phase) -> Outcome? {
        switch phase {
        case .starting, .startupReceived:
            error.map { .failed("the application threw at its startup: \($0)") } ?? .complete
        case .stopping, .shutdownReceived:
            error.map { .failed("the application threw at its shutdown: \($0)") } ?? .complete
        case .serving, .ended:
            nil
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
        let isDue =
            switch event {
            case .startupComplete: settle(.complete, .serving, from: .starting, .startupReceived)
            case .startupFailed(let message): settle(.failed(message), .ended, from: .starting, .startupReceived)
            case .shutdownComplete: settle(.complete, .ended, from: .stopping, .shutdownReceived)
            case .shutdownFailed(let message): settle(.failed(message), .ended, from: .stopping, .shutdownReceived)
            default: false
            }
        guard isDue else { throw ContractViolation("this event is not due on the lifespan scope") }
    }

    /// Takes the application's answer; false where it is not due.
    private func settle(_ outcome: Outcome, _ next: Phase, from due: Phase...) -> Bool {
        let (isDue, waiter) = protected.withLock { protected in
            guard due.contains(protected.phase) else {
                return (false, nil as CheckedContinuation<Outcome, Never>?)
            }
            // What the application puts there later comes too late, however soon that is.
            if next == .serving { protected.prepared = state.snapshot }
            return (true, protected.settle(outcome, next))
        }
        waiter?.resume(returning: outcome)
        return isDue
    }
}

/// The application could not start: it threw, or said so.
public struct StartupFailed: Error, CustomStringConvertible {
    /// The application's message.
    public let message: String

    public var description: String { "the application did not start: \(message)" }
}
