import Apus
import ApusGateway
import ApusHTTP
import ApusTransport
import Glibc
import Logging

/// A worker's process: a server in the slot that its supervisor names, which does what it is told.
///
/// The control socket has a thread of its own, so that the supervisor's end is seen whatever the application does; that the
/// loop which serves turns is proved by the answer to a ping, which comes from there.
///
/// `@unchecked Sendable`: everything that changes is touched on the control loop's thread only, or before it starts.
final class WorkerProcess: @unchecked Sendable {
    /// How much longer than a server ever takes to end this one may, when nobody is there any more to end it.
    private static let patienceAfterEnd = TimeSpan.seconds(10)
    /// What a terminal or a script sends to all processes of a server, and only the supervisor acts on; and what a log
    /// brings about whose reader has gone.
    private static let ignored = [SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGTTIN, SIGTTOU, SIGPIPE]

    private let loop: EventLoop
    private let channel: ControlChannel
    private let logger: Logger
    private let leavingTime: TimeSpan
    private let signals: SignalQueue
    private let lastResort: LoopTimer
    private var server: Server?
    /// What was said before there was a server.
    private var early: [(ControlMessage, [Int32])] = []
    private var wasToldToStop = false

    private init(
        _ channel: ControlChannel,
        _ signals: SignalQueue,
        _ settings: ServerSettings,
        _ logger: Logger
    ) throws(SystemError) {
        loop = try EventLoop(name: "apus-control")
        self.channel = channel
        self.signals = signals
        self.logger = logger
        leavingTime = settings.configuration.longestEnd
        lastResort = LoopTimer(loop: loop)
        lastResort.handler = self
    }

    /// Serves until it is told to leave, and has left.
    ///
    /// - Throws: as ``ServeOptions/serve(_:)`` ends.
    static func serve(
        _ application: () async throws -> any Application,
        _ settings: ServerSettings,
        control: ControlSocket
    ) async throws {
        // First of all: what is meant for the supervisor would end this process.
        let signals = try SignalQueue.install([SIGTERM] + ignored)
        let channel = ControlChannel(control)
        let start = try WorkerStart.receive(from: channel)
        let (index, slot) = (start.greeting.index, start.greeting.slot)
        let logger = settings.logger("worker \(index), slot \(slot)")
        ProcessTitle.set("apus: worker \(index) (slot \(slot))")
        let process = try WorkerProcess(channel, signals, settings, logger)
        try process.watch()
        defer {
            process.loop.stop()
            process.loop.join()
        }
        if settings.supervisor.pinsWorkers { process.pin(to: index) }
        let identity = try ServerIdentity.load(settings.configuration, start.secrets)
        // The key has been read: rights are needed no more.
        try settings.supervisor.account()?.assume()
        let server = Server(
            configuration: settings.configuration,
            application: try await ApplicationFailed.check(application),
            logger: logger,
            membership: Membership(
                slot: slot,
                slotCount: start.greeting.slotCount,
                sockets: start.sockets,
                secrets: start.secrets,
                identity: identity,
                forwarding: start.forwarding
            )
        )
        server.setNewcomers(start.newcomers)
        process.obey(with: server)
        try await server.run()
    }

    private func pin(to index: Int) {
        do {
            try ProcessFacts.pinToCore(index)
        } catch {
            logger.warning("the worker has no core to itself: \(error)")
        }
    }

    // MARK: - The control socket

    private func watch() throws(SystemError) {
        try channel.register(on: loop, handler: self)
        try signals.register(on: loop) { [unowned self] in received($0) }
        try loop.start()
    }

    /// Does what was said meanwhile, and says when the server is ready.
    private func obey(with server: Server) {
        loop.submit {
            self.server = server
            let early = self.early
            self.early = []
            for (message, descriptors) in early { self.obey(message, descriptors, server) }
        }
        Task {
            // Where it fails, so does the server, which ends the process.
            guard (try? await server.listeners()) != nil else { return }
            loop.submit { self.channel.send(.ready) }
        }
    }

    private func readMessages() {
        while true {
            switch channel.receive() {
            case .message(let message, let descriptors):
                if let server { obey(message, descriptors, server) } else { early.append((message, descriptors)) }
            case .unknown(let text): logger.warning("the supervisor says what is not known: \(text)")
            case .nothing: return
            case .closed: return leaveAlone()
            }
        }
    }

    private func obey(_ message: ControlMessage, _ descriptors: [Int32], _ server: Server) {
        switch message {
        case .newcomers(let slots): server.setNewcomers(slots)
        case .adopt(let slot, let encoded): adopt(slot, encoded, descriptors, server)
        case .release(let slot): server.release(slot) { self.answer(.released(slot: slot)) }
        case .reader(let isReader): server.setReader(isReader)
        case .drain(let isReloading): server.shutdown(reloading: isReloading)
        case .ping(let number): server.report { self.answer(.pong(number, $0)) }
        default:
            for descriptor in descriptors { Glibc.close(descriptor) }
            logger.warning("the supervisor says what is not due")
        }
    }

    /// Reads a slot that has no worker. Where that fails, its sockets wait for its next worker: the log alone tells.
    private func adopt(_ slot: Int, _ encoded: [UInt8], _ descriptors: [Int32], _ server: Server) {
        guard let receiver = descriptors.first else { return logger.error("slot \(slot) comes without its sockets") }
        do {
            let sockets = try SlotSockets(encoded: encoded, descriptors: Array(descriptors.dropFirst()))
            server.adopt(slot, sockets, receiver: receiver)
        } catch {
            Glibc.close(receiver)
            logger.error("slot \(slot) cannot be adopted: \(error)")
        }
    }

    private func answer(_ message: ControlMessage) {
        loop.submit { self.channel.send(message) }
    }

    // MARK: - The end

    /// There is no supervisor any more: nobody would replace this worker, or end it.
    private func leaveAlone() {
        channel.close()
        guard let server else {
            // Nobody is served yet.
            _exit(ExitStatus.failed)
        }
        logger.error("the supervisor is gone: the worker leaves")
        server.shutdown(reloading: false)
        lastResort.set(loop.now + leavingTime + Self.patienceAfterEnd)
    }

    private func received(_ signal: Int32) {
        guard signal == SIGTERM else { return }
        // The code of a process that the signal had killed, as shells count it.
        if wasToldToStop { _exit(128 + signal) }
        wasToldToStop = true
        // The supervisor sees to a successor, and then says when to leave.
        channel.send(.leaving)
    }
}

extension WorkerProcess: EventHandler {
    func handle(_ events: IOEvents) {
        channel.flush()
        readMessages()
    }
}

extension WorkerProcess: TimerHandler {
    func timerFired(now: Instant) {
        logger.error("the worker has not left in time: it ends now")
        _exit(ExitStatus.failed)
    }
}
