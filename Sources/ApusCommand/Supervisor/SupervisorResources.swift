import Apus
import ApusTransport
import Glibc

/// What a supervisor has open for its whole life, also while its executable changes.
struct SupervisorResources {
    /// The signals that it acts on.
    static let signals = [SIGHUP, SIGUSR1, SIGUSR2, SIGTTIN, SIGTTOU, SIGTERM, SIGINT, SIGQUIT, SIGCHLD]

    let signals: SignalQueue
    /// What workers are started from.
    let executable: OwnExecutable
    /// Where a newer executable is looked for.
    let executablePath: String
    /// In seconds since 1970.
    let startedAt: Int
    let secrets: ServerSecrets
    let sockets: ServerSockets
    /// By slot: where its datagrams are forwarded to.
    let forwarding: [ExecState.Forwarding]
    let pidFile: PIDFile?
    let statusSocket: BoundSocket?
    /// What went otherwise than asked for, for the log.
    let warnings: [String]

    /// As many as there are slots.
    var slotCount: Int { forwarding.count }

    /// Closes what has a name in the file system, so that nothing is left behind.
    func close() {
        statusSocket?.close()
        for socket in sockets.all { socket.close() }
        pidFile?.remove()
    }
}

extension SupervisorResources {
    /// Opens everything, after all that can be wrong without it was looked at.
    ///
    /// - Throws: ``ConfigurationError``, ``BindError``, or what the system says.
    init(opening settings: ServerSettings, environment: [String: String]) throws {
        // First of all: a signal that comes from now on is acted on as soon as there is somebody to do it.
        signals = try SignalQueue.install(Self.signals)
        executable = try OwnExecutable.open()
        executablePath = executable.path
        startedAt = Int(WallClock.now().seconds)
        secrets = .random()
        _ = try ServerIdentity.load(settings.configuration, secrets)
        _ = try settings.supervisor.account()
        let slotCount = 2 * settings.supervisor.maxWorkers
        sockets = try ServerSockets.open(settings.configuration, slotCount: slotCount)
        forwarding = try (0..<slotCount)
            .map { _ in
                let pair = try ForwardingPair.make()
                return ExecState.Forwarding(sender: pair.sender, receiver: pair.receiver)
            }
        pidFile = try settings.supervisor.openPIDFile()
        var warnings = sockets.warnings
        do {
            statusSocket = try StatusSocket.open(settings.supervisor.statusSocket, environment)
        } catch {
            // Nobody has asked for the usual place: the server goes on without.
            if case .path(let path) = settings.supervisor.statusSocket {
                throw ConfigurationError(option: "--status-socket", "cannot listen at '\(path)': \(error.reason)")
            }
            statusSocket = nil
            warnings.append("there will be no answer for 'apus status': \(error)")
        }
        self.warnings = warnings
    }

    /// Takes over what the executable before this one had open in the same process.
    init(adopting state: ExecState) throws {
        if let signals = state.signals {
            self.signals = try SignalQueue.install(Self.signals, adopting: signals.receiver, signals.sender)
        } else {
            signals = try SignalQueue.install(Self.signals)
        }
        executable = try OwnExecutable.open()
        executablePath = state.executablePath
        startedAt = state.startedAt
        guard let secrets = ServerSecrets(encoded: state.secrets) else { throw HandoverError() }
        self.secrets = secrets
        sockets = try ServerSockets(encoded: state.sockets, descriptors: state.socketDescriptors)
        for descriptor in state.descriptors { Descriptors.closeOnExec(descriptor) }
        forwarding = state.forwarding
        // For want of a file nobody stops to serve.
        var warnings: [String] = []
        do {
            pidFile = try state.pidFile.map { try PIDFile(adopting: $0.descriptor, path: $0.path) }
        } catch {
            pidFile = nil
            warnings.append("the process's number is in no file any more: \(error)")
        }
        do {
            statusSocket = try state.statusSocket.map { try StatusSocket.open($0.path, adopting: $0.descriptor) }
        } catch {
            statusSocket = nil
            warnings.append("there will be no answer for 'apus status': \(error)")
        }
        self.warnings = warnings
    }
}

extension SupervisorSettings {
    /// Whom the workers work for; nil where they keep the rights of who started the server.
    func account() throws(ConfigurationError) -> Account? {
        guard user != nil || group != nil else { return nil }
        let account: Account
        do {
            account = try Account(user: user, group: group)
        } catch {
            let option = if case .unknownGroup = error { "--group" } else { "--user" }
            throw ConfigurationError(option: option, error.description)
        }
        guard account.canBeAssumed else {
            throw ConfigurationError(option: user == nil ? "--group" : "--user", "only root can become somebody else")
        }
        return account
    }

    /// Writes the process's number where that is asked for.
    func openPIDFile() throws(ConfigurationError) -> PIDFile? {
        guard let path = pidFile else { return nil }
        do {
            return try PIDFile(path)
        } catch {
            throw ConfigurationError(option: "--pid", error.description)
        }
    }
}
