import Apus
import ApusHTTP
import ApusTransport
import Glibc
import Logging

extension SupervisorProcess {
    /// Carries out what has been decided.
    func perform(_ action: SupervisionAction) {
        switch action {
        case .spawn(let id, let index, let slot): spawn(id, index: index, slot: slot)
        case .drain(let id, let isReloading): tell(id, .drain(isReloading: isReloading))
        case .kill(let id): workers[id].map { _ = ChildProcess.kill($0.pid, SIGKILL) }
        case .steer(let newcomers): steer(newcomers)
        case .adopt(let slot, let id):
            let sockets = resources.sockets.sockets(of: slot)
            let receiver = resources.forwarding[slot].receiver
            tell(id, .adopt(slot: slot, encoded: sockets.encoded), [receiver] + sockets.descriptors)
        case .release(let slot, let id): tell(id, .release(slot: slot))
        case .reader(let id, let isReader): tell(id, .reader(isReader))
        case .ping(let id, let number): ping(id, number)
        case .examine(let id): examine(id)
        case .log(let level, let text, _): logger.log(level: level, "\(text)")
        case .ready: announce()
        case .reloading: manager?.notify(ServiceManager.reloading)
        case .reloaded: notifyReady()
        case .checkExecutable(let state): check(with: state)
        case .replaceImage(let state): replaceImage(with: state)
        case .stopping:
            manager?.notify("STOPPING=1")
            // The workers close theirs when they drain: who connects from then on is refused, not left waiting.
            resources.sockets.closeStreams()
        case .exit(let code): end(code: code)
        }
    }

    private func steer(_ newcomers: [Int]) {
        do {
            try resources.sockets.steer(
                newcomers: newcomers,
                key: resources.secrets.steeringKey,
                slotCount: resources.slotCount
            )
        } catch {
            // What lands elsewhere is forwarded, or accepted where it lands.
            logger.error("the system cannot be told where new connections go: \(error)")
        }
        for id in workers.keys { tell(id, .newcomers(newcomers)) }
        manager?.notify("STATUS=\(workerCount)")
        showTitle()
    }

    // MARK: - What others see

    /// Says what listens where, and who serves.
    private func announce() {
        Banner.write(resources.sockets.listeners)
        StandardError.writeLine(describeWorkers())
        showTitle()
        notifyReady()
    }

    private func describeWorkers() -> String {
        let active = supervision.workers.values.filter { $0.state == .active }.sorted { $0.index < $1.index }
        return "workers: " + active.map { "\($0.index) (slot \($0.slot))" }.joined(separator: ", ")
    }

    private func notifyReady() {
        manager?.notify("READY=1\nSTATUS=\(workerCount)")
    }

    func showTitle() {
        ProcessTitle.set("apus: supervisor (\(workerCount))")
    }

    /// How many serve, in words.
    private var workerCount: String {
        let count = supervision.workers.values.count { $0.state == .active }
        return count == 1 ? "1 worker" : "\(count) workers"
    }
}

/// What a server says once it listens.
enum Banner {
    static func write(_ listeners: [Listener]) {
        StandardError.writeLine("Apus \(Version.text)")
        for listener in listeners { StandardError.writeLine("listening on \(listener)") }
    }
}
