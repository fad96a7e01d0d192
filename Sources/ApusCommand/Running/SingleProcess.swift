import Apus
import ApusGateway
import ApusTransport
import Glibc
import Logging

/// A server without a supervisor: everything in the process that was started.
///
/// `@unchecked Sendable`: everything is constant; the queue of signals belongs to its loop's thread.
final class SingleProcess: @unchecked Sendable {
    /// What a supervisor would act on, and a pipe to the log that nobody reads any more.
    private static let signals = [SIGHUP, SIGUSR1, SIGUSR2, SIGTTIN, SIGTTOU, SIGPIPE]

    private let server: Server
    private let logger: Logger
    private let manager: ServiceManager?
    private let loop: EventLoop
    private let signals: SignalQueue
    private let watchdog: WatchdogTimer?

    /// Serves until the process is told to stop.
    static func serve(
        _ application: () async throws -> any Application,
        _ settings: ServerSettings,
        _ environment: [String: String]
    ) async throws {
        // First of all: what comes from now on is acted on as soon as there is somebody to do it.
        let signals = try SignalQueue.install(Self.signals)
        let account = try settings.supervisor.account()
        let opened = try OpenedServer.open(settings.configuration)
        let pidFile = try settings.supervisor.openPIDFile()
        defer { pidFile?.remove() }
        try account?.assume()
        let logger = settings.logger()
        let server = Server(
            configuration: settings.configuration,
            application: try await ApplicationFailed.check(application),
            logger: logger,
            membership: nil,
            opened: opened
        )
        let process = try SingleProcess(server, signals, logger, ServiceManager(environment))
        try process.watch()
        defer {
            process.loop.stop()
            process.loop.join()
        }
        try await server.run()
    }

    private init(
        _ server: Server,
        _ signals: SignalQueue,
        _ logger: Logger,
        _ manager: ServiceManager?
    ) throws(SystemError) {
        self.server = server
        self.logger = logger
        self.manager = manager
        self.signals = signals
        let loop = try EventLoop(name: "apus-signals")
        self.loop = loop
        watchdog = manager.flatMap { manager in
            manager.watchdogInterval.map { WatchdogTimer(manager, $0, on: loop) }
        }
    }

    private func watch() throws(SystemError) {
        try signals.register(on: loop) { [unowned self] in received($0) }
        try loop.start()
        StopSignals.install {
            self.manager?.notify("STOPPING=1")
            self.server.shutdown()
        }
        Task {
            // Where it fails, so does the server, which ends the process.
            guard let listeners = try? await server.listeners() else { return }
            loop.submit {
                Banner.write(listeners)
                self.manager?.notify("READY=1")
            }
        }
    }

    private func received(_ signal: Int32) {
        switch signal {
        case SIGHUP: reloadCertificates()
        case SIGUSR1: logger.notice("no file of the log is opened again: it goes to standard error")
        case SIGUSR2: logger.notice("no new executable is started: there is no supervisor (--workers)")
        case SIGTTIN, SIGTTOU: logger.notice("the number of workers stays: there is no supervisor (--workers)")
        default: break
        }
    }

    private func reloadCertificates() {
        manager?.notify(ServiceManager.reloading)
        do {
            try server.reloadCertificates()
            logger.notice("certificates are read again, for connections from now on")
        } catch {
            logger.error("the certificates stay as they were: \(error)")
        }
        manager?.notify("READY=1")
    }
}
