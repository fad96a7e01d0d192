import Apus
import ApusHTTP
import ApusTransport
import Glibc
import Logging

extension SupervisorProcess {
    // MARK: - Their life

    /// Starts a process and tells it all that it needs; what fails is a death at its start.
    func spawn(_ id: Int, index: Int, slot: Int) {
        do {
            let (ours, theirs) = try ControlSocket.pair()
            defer { theirs.close() }
            let pid = try ChildProcess.spawn(
                executable: resources.executable.descriptor,
                arguments: CommandLine.arguments,
                environment: WorkerEnvironment.ofWorker(environment),
                control: theirs.descriptor
            )
            let worker = worker(id, index: index, slot: slot, pid: pid, control: ours)
            workers[id] = worker
            if listen(to: worker) { greet(worker) }
        } catch {
            feed(.spawnFailed(id: id, reason: error.description))
        }
    }

    /// Hears what a worker says; one that cannot be heard is killed, and its end brings a successor.
    @discardableResult
    func listen(to worker: SupervisedWorker) -> Bool {
        do {
            try worker.start(on: loop)
            return true
        } catch {
            logger.error("\(worker.name) cannot be listened to: \(error)")
            ChildProcess.kill(worker.pid, SIGKILL)
            return false
        }
    }

    private func greet(_ worker: SupervisedWorker) {
        let greeting = WorkerGreeting(
            slot: worker.slot,
            slotCount: resources.slotCount,
            index: worker.index,
            id: worker.id,
            secrets: resources.secrets.encoded
        )
        let receiver = resources.forwarding[worker.slot].receiver
        let sockets = resources.sockets.sockets(of: worker.slot)
        tell(worker.id, .hello(greeting), [receiver] + resources.forwarding.map(\.sender))
        tell(worker.id, .sockets(slot: worker.slot, encoded: sockets.encoded), sockets.descriptors)
        tell(worker.id, .newcomers(supervision.newcomers))
        tell(worker.id, .start)
    }

    /// Goes on with a worker that an earlier executable has started.
    func adopt(_ worker: ExecState.Worker) {
        guard let record = supervision.workers[worker.id] else { return }
        let control = ControlSocket(descriptor: worker.control)
        workers[worker.id] = self.worker(
            worker.id,
            index: record.index,
            slot: record.slot,
            pid: worker.pid,
            control: control
        )
    }

    private func worker(
        _ id: Int,
        index: Int,
        slot: Int,
        pid: pid_t,
        control: ControlSocket
    ) -> SupervisedWorker {
        SupervisedWorker(id: id, index: index, slot: slot, pid: pid, control: control) { [unowned self] in
            readMessages(of: $0)
        }
    }

    /// Looks which workers have ended.
    func reap() {
        for worker in workers.values.sorted(by: { $0.id < $1.id }) {
            guard let reason = ChildProcess.exited(worker.pid) else { continue }
            // What it has said before its end comes first: all of it, of which there is an end now.
            readMessages(of: worker, atMost: .max)
            worker.close()
            workers[worker.id] = nil
            let exit: WorkerExit =
                switch reason {
                case .code(let code): .code(code)
                case .signal(let signal): .signal(signal)
                }
            feed(.workerExited(id: worker.id, exit))
            status?.heard(from: worker.id)
        }
        ChildProcess.reapOrphans { pid in
            pid == candidate?.check || workers.values.contains { $0.pid == pid }
        }
    }

    // MARK: - What is said

    /// Messages of one worker that are heard before others have their turn. One in order has a few to say.
    static let mostMessagesAtOnce = 256

    /// Sends a message; a worker that has not taken very many of them is beyond help.
    func tell(_ id: Int, _ message: ControlMessage, _ descriptors: [Int32] = []) {
        guard let worker = workers[id], !worker.channel.isClosed, !worker.channel.send(message, descriptors),
            !worker.channel.isClosed
        else { return }
        logger.error("\(worker.name) does not read what it is told: it is killed")
        worker.close()
        ChildProcess.kill(worker.pid, SIGKILL)
    }

    func ping(_ id: Int, _ number: Int) {
        guard let worker = workers[id] else { return }
        worker.askedAt = worker.askedAt ?? loop.now
        // Behind others it would tell nothing that their being there does not.
        if !worker.channel.isCongested { tell(id, .ping(number)) }
    }

    /// Hears what a worker has said, then finds out how long it has waited for a core.
    func examine(_ id: Int) {
        guard let worker = workers[id] else { return }
        readMessages(of: worker)
        feed(.examined(id: id, runDelay: ProcessFacts.runDelay(worker.pid)))
    }

    /// Hears what a worker has said; one that says very much is heard further in the next turn.
    func readMessages(of worker: SupervisedWorker, atMost most: Int = mostMessagesAtOnce) {
        for _ in 0..<most {
            switch worker.channel.receive() {
            case .message(let message, let descriptors):
                for descriptor in descriptors { Glibc.close(descriptor) }
                take(message, from: worker)
            case .unknown(let text): logger.warning("\(worker.name) says what is not known: \(text)")
            case .nothing: return
            // Its exit is seen by itself.
            case .closed: return worker.channel.close()
            }
        }
    }

    private func take(_ message: ControlMessage, from worker: SupervisedWorker) {
        switch message {
        case .ready: feed(.workerReady(id: worker.id))
        case .released(let slot): feed(.released(slot: slot, by: worker.id))
        case .leaving: feed(.workerLeaving(id: worker.id))
        case .pong(let number, let report):
            worker.askedAt = nil
            worker.report = report
            let memory = ProcessFacts.residentBytes(worker.pid)
            feed(.pong(id: worker.id, number: number, requests: report.requests, residentBytes: memory))
            if number == Self.statusPing { status?.heard(from: worker.id) }
        default: logger.warning("\(worker.name) says what is a supervisor's to say")
        }
    }
}
