import Apus
import ApusHTTP
import ApusTransport
import Glibc

/// A worker's process as its supervisor sees it.
///
/// Confined to the supervisor's loop, which keeps it alive until ``close()``.
final class SupervisedWorker {
    let id: Int
    let index: Int
    let slot: Int
    let pid: pid_t
    let channel: ControlChannel
    /// What it has said of itself last.
    var report = WorkerReport()
    /// When it was asked how it is, while there is no answer.
    var askedAt: Instant?
    private let receive: (SupervisedWorker) -> Void

    /// - Parameter receive: Is called when the worker has said something.
    init(
        id: Int,
        index: Int,
        slot: Int,
        pid: pid_t,
        control: ControlSocket,
        receive: @escaping (SupervisedWorker) -> Void
    ) {
        self.id = id
        self.index = index
        self.slot = slot
        self.pid = pid
        channel = ControlChannel(control)
        self.receive = receive
    }

    /// As all lines of the log name it.
    var name: String { "worker \(index) (slot \(slot))" }

    func start(on loop: EventLoop) throws(SystemError) {
        try channel.register(on: loop, handler: self)
    }

    /// The process has ended.
    func close() {
        channel.close()
    }
}

extension SupervisedWorker: EventHandler {
    func handle(_ events: IOEvents) {
        channel.flush()
        receive(self)
    }
}
