import Apus
import ApusHTTP
import ApusTransport
import Glibc

extension SupervisorProcess {
    /// How long the check of a new executable may take: it makes the application.
    private static let checkTimeout = TimeSpan.seconds(60)

    /// A new executable, by a descriptor: what is checked is what is run, whatever becomes of the path meanwhile.
    struct Candidate {
        let descriptor: Int32
        /// The process that checks it, while one does.
        var check: pid_t?

        var path: String { Descriptors.path(of: descriptor) }
    }

    /// Has the new executable check the settings, make the application, and say whether it understands our state.
    func check(with state: SupervisionState) {
        do {
            let candidate = Candidate(descriptor: try Descriptors.openProgram(resources.executablePath))
            forgetCandidate()
            self.candidate = candidate
            let memory = try SealedMemory.make(execState(state).encoded, name: "apus-state")
            var environment = WorkerEnvironment.withoutManager(environment)
            // The descriptor at which the program finds what it is passed.
            environment[ExecState.variable] = "3"
            do {
                self.candidate?.check = try ChildProcess.run(
                    executable: candidate.path,
                    arguments: Self.checking(CommandLine.arguments),
                    environment: environment,
                    passing: memory,
                    timeout: Self.checkTimeout
                ) { [loop] ending in
                    Glibc.close(memory)
                    loop.submit { self.checked(ending) }
                }
            } catch {
                Glibc.close(memory)
                throw error
            }
        } catch {
            feed(.executableChecked(isUsable: false, text: "\(resources.executablePath): \(error)"))
        }
    }

    private func checked(_ ending: ChildProcess.Ending) {
        candidate?.check = nil
        // It may have hidden others, of processes that are not ours to know.
        reap()
        guard let text = Self.objection(to: ending) else {
            return feed(.executableChecked(isUsable: true, text: ""))
        }
        forgetCandidate()
        feed(.executableChecked(isUsable: false, text: text))
    }

    /// Why an executable whose check has ended so is not used; nil where it is.
    static func objection(to ending: ChildProcess.Ending) -> String? {
        if ending.isTimedOut { return "its check takes too long" }
        if case .signal(let signal) = ending.reason { return "its check was killed by signal \(signal)" }
        guard ending.reason == .code(0) else { return complaint(in: ending.standardError) }
        let lines = ending.standardError.split(separator: "\n")
        return lines.contains { $0 == SettingsCheck.understanding } ? nil : "it cannot go on for a supervisor"
    }

    /// The line that says what is wrong.
    private static func complaint(in output: String) -> String {
        let lines = output.split(separator: "\n").filter { $0 != SettingsCheck.understanding }
        let mark = "Error: "
        guard let error = lines.first(where: { $0.hasPrefix(mark) }) else {
            return lines.last.map(String.init) ?? "its check says nothing"
        }
        return String(error.dropFirst(mark.count))
    }

    private func forgetCandidate() {
        if let candidate { Glibc.close(candidate.descriptor) }
        candidate = nil
    }

    /// The command line, as a check.
    static func checking(_ arguments: [String]) -> [String] {
        // Behind a '--' it would be an argument of the application's.
        let end = arguments.firstIndex(of: "--") ?? arguments.endIndex
        return arguments[..<end] + ["--check"] + arguments[end...]
    }

    /// Becomes the new executable, which finds everything open and takes it over.
    func replaceImage(with state: SupervisionState) {
        feed(.imageNotReplaced(reason: tryToReplaceImage(with: state)))
    }

    /// Returns only where that has failed: why.
    private func tryToReplaceImage(with state: SupervisionState) -> String {
        guard let candidate else { return "there is no new executable" }
        defer { forgetCandidate() }
        // What waits here would be lost.
        if let worker = workers.values.first(where: { $0.channel.isCongested }) {
            return "\(worker.name) does not read what it is told"
        }
        // Whoever waits for an answer would never have one.
        status?.answer()
        let handover = execState(state)
        let memory: Int32
        do {
            memory = try SealedMemory.make(handover.encoded, name: "apus-state")
        } catch {
            return error.description
        }
        defer { Glibc.close(memory) }
        var environment = environment
        environment[ExecState.variable] = String(memory)
        environment[SignalQueue.variable] = resources.signals.handover
        return
            ChildProcess.replaceImage(
                executable: candidate.path,
                arguments: CommandLine.arguments,
                environment: environment,
                keeping: handover.descriptors + [memory]
            )
            .description
    }

    private func execState(_ state: SupervisionState) -> ExecState {
        var handover = ExecState(
            pid: getpid(),
            startedAt: resources.startedAt,
            executablePath: resources.executablePath,
            supervision: state.encoded,
            secrets: resources.secrets.encoded,
            sockets: resources.sockets.encoded,
            socketDescriptors: resources.sockets.descriptors
        )
        handover.forwarding = resources.forwarding
        handover.workers = workers.values.sorted { $0.id < $1.id }
            .map { ExecState.Worker(id: $0.id, pid: $0.pid, control: $0.channel.socket.descriptor) }
        handover.signals = ExecState.Forwarding(sender: resources.signals.input, receiver: resources.signals.output)
        handover.pidFile = resources.pidFile.map { ExecState.File(descriptor: $0.descriptor, path: $0.path) }
        if let socket = resources.statusSocket, case .unix(let path) = socket.address {
            handover.statusSocket = ExecState.File(descriptor: socket.descriptor, path: path)
        }
        return handover
    }
}
