import Apus
import ApusHTTP
import ApusTransport
import Glibc
import Logging

/// The process above the workers: it carries out what ``Supervision`` decides, and tells it what happens.
///
/// `@unchecked Sendable`: everything that changes is touched on the loop's thread only, or before it starts.
final class SupervisorProcess: @unchecked Sendable {
    let settings: ServerSettings
    let environment: [String: String]
    let resources: SupervisorResources
    let logger: Logger
    let loop: EventLoop
    /// Who wants to know how the service is.
    let manager: ServiceManager?
    var supervision: Supervision
    /// Every worker that has not exited, by its number.
    var workers: [Int: SupervisedWorker] = [:]
    /// A new executable whose check has begun, or has succeeded.
    var candidate: Candidate?
    /// Whether this executable has taken the place of another.
    let isSuccessor: Bool

    private(set) var status: StatusSocket?
    private var watchdog: WatchdogTimer?
    private let deadline: LoopTimer
    private var isPerforming = false
    private var ended: CheckedContinuation<Int32, Never>?

    private init(
        _ settings: ServerSettings,
        _ environment: [String: String],
        _ resources: SupervisorResources,
        _ supervision: Supervision,
        isSuccessor: Bool
    ) throws(SystemError) {
        self.settings = settings
        self.environment = environment
        self.resources = resources
        self.supervision = supervision
        self.isSuccessor = isSuccessor
        logger = settings.logger("supervisor")
        loop = try EventLoop(name: "apus-supervisor")
        manager = ServiceManager(environment)
        deadline = LoopTimer(loop: loop)
        deadline.handler = self
    }

    /// A supervisor with everything bound, and no workers yet.
    static func fresh(_ settings: ServerSettings, _ environment: [String: String]) throws -> SupervisorProcess {
        try SupervisorProcess(
            settings,
            environment,
            SupervisorResources(opening: settings, environment: environment),
            Supervision(
                settings: SupervisionSettings(
                    settings.supervisor,
                    leavingTime: settings.configuration.longestEnd
                )
            ),
            isSuccessor: false
        )
    }

    /// A supervisor that goes on where another executable has left off.
    static func successor(
        of state: ExecState,
        _ settings: ServerSettings,
        _ environment: [String: String]
    ) throws -> SupervisorProcess {
        guard let supervision = SupervisionState(encoded: state.supervision) else { throw HandoverError() }
        let process = try SupervisorProcess(
            settings,
            environment,
            SupervisorResources(adopting: state),
            Supervision(
                restoring: supervision,
                settings: SupervisionSettings(
                    settings.supervisor,
                    leavingTime: settings.configuration.longestEnd
                )
            ),
            isSuccessor: true
        )
        for worker in state.workers { process.adopt(worker) }
        return process
    }

    // MARK: - Its life

    /// Runs until everything has stopped; gives the exit code.
    func run() async -> Int32 {
        await withCheckedContinuation { continuation in
            ended = continuation
            do throws(SystemError) {
                try loop.start()
                loop.submit { self.begin() }
            } catch {
                end(with: error)
            }
        }
    }

    private func begin() {
        if isSuccessor { logger.notice("Apus \(Version.text) goes on in place of the executable before it") }
        for warning in resources.warnings { logger.warning("\(warning)") }
        do throws(SystemError) {
            try resources.signals.register(on: loop) { [unowned self] in received($0) }
        } catch {
            return end(with: error)
        }
        if let socket = resources.statusSocket { answer(at: socket) }
        for worker in workers.values { listen(to: worker) }
        if let manager, let interval = manager.watchdogInterval {
            watchdog = WatchdogTimer(manager, interval, on: loop)
        }
        showTitle()
        // A worker may have ended while nobody looked.
        reap()
        feed(.start)
    }

    /// Tells who asks how the server is; it serves without, if need be.
    private func answer(at socket: BoundSocket) {
        let status = StatusSocket(
            socket,
            on: loop,
            ask: { [unowned self] in askWorkers() },
            report: { [unowned self] in statusReport() }
        )
        do throws(SystemError) {
            try status.start()
            self.status = status
        } catch {
            logger.warning("there is no answer for 'apus status': \(error)")
        }
    }

    private func end(with error: SystemError) {
        logger.error("the supervisor cannot run: \(error)")
        end(code: ExitStatus.failed)
    }

    /// Leaves nothing behind, and lets the process end.
    func end(code: Int32) {
        deadline.set(nil)
        watchdog = nil
        status?.answer()
        if let check = candidate?.check { ChildProcess.killGroup(check) }
        resources.close()
        loop.stop()
        ended?.resume(returning: code)
        ended = nil
    }

    // MARK: - Decisions

    /// Says what has happened, and does what follows from it.
    func feed(_ event: SupervisionEvent) {
        supervision.handle(event, now: loop.refreshNow())
        performActions()
    }

    /// What an action brings about, such as a worker that could not be spawned, only adds to what is to be done.
    private func performActions() {
        guard !isPerforming else { return }
        isPerforming = true
        while let action = supervision.nextAction() { perform(action) }
        isPerforming = false
        deadline.set(supervision.deadline)
    }

    private func received(_ signal: Int32) {
        switch signal {
        case SIGCHLD: reap()
        case SIGHUP: feed(.reload)
        case SIGUSR1: logger.notice("no file of the log is opened again: it goes to standard error")
        case SIGUSR2: feed(.upgradeRequested)
        case SIGTTIN: feed(.more)
        case SIGTTOU: feed(.fewer)
        case SIGQUIT: feed(.stopNow(signal: signal))
        default: feed(.stop(signal: signal))
        }
    }
}

extension SupervisorProcess: TimerHandler {
    func timerFired(now: Instant) {
        supervision.handleTimeout(loop.refreshNow())
        performActions()
    }
}

extension ServerSettings {
    /// A log whose lines say which process they come from.
    func logger(_ process: String? = nil) -> Logger {
        Logger(label: process.map { "apus[\($0)]" } ?? "apus") { StandardErrorLog(label: $0, level: logLevel) }
    }
}
