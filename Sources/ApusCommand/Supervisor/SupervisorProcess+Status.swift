import Apus
import ApusHTTP
import ApusTransport
import Glibc

extension SupervisorProcess {
    /// How long a worker may owe an answer before it is shown as hung.
    private static let hungAfter = TimeSpan.seconds(5)

    /// The number of a ping by which nobody is judged: the others begin with 1.
    static let statusPing = 0

    /// Asks all workers who can answer how they are; gives their numbers.
    func askWorkers() -> Set<Int> {
        let able = supervision.workers.values.filter { $0.wasReady && $0.state != .killed }.map(\.id)
        for id in able { ping(id, Self.statusPing) }
        return Set(able)
    }

    /// What there is to tell at this moment.
    func statusReport() -> StatusReport {
        StatusReport(
            pid: getpid(),
            version: Version.text,
            started: resources.startedAt,
            listeners: resources.sockets.listeners.map(\.description),
            slots: resources.slotCount,
            workers: supervision.workers.values.sorted { ($0.index, $0.id) < ($1.index, $1.id) }
                .compactMap(status)
        )
    }

    private func status(of record: WorkerRecord) -> StatusReport.Worker? {
        guard let worker = workers[record.id] else { return nil }
        return StatusReport.Worker(
            id: record.id,
            index: record.index,
            slot: record.slot,
            pid: worker.pid,
            state: state(of: record, worker),
            age: Int(loop.now.since(record.startedAt).nanoseconds / 1_000_000_000),
            requests: worker.report.requests,
            http1: worker.report.http1,
            http2: worker.report.http2,
            http3: worker.report.http3,
            webSockets: worker.report.webSockets,
            memory: ProcessFacts.residentBytes(worker.pid) ?? 0
        )
    }

    private func state(of record: WorkerRecord, _ worker: SupervisedWorker) -> StatusReport.State {
        switch record.state {
        case .starting, .standby: return .starting
        case .killed: return .hung
        case .draining: return .draining
        case .active:
            guard let askedAt = worker.askedAt, loop.now.since(askedAt) >= Self.hungAfter else { return .active }
            return .hung
        }
    }
}
