import ApusHTTP

/// What has happened to a supervisor: a signal, or something about one of its workers.
///
/// A worker is named by its number, which is never used twice; an event about one that is gone is ignored.
enum SupervisionEvent: Equatable, Sendable {
    /// Everything is bound: workers may start. Comes first, after a change of the executable too.
    case start
    /// The worker of a ``SupervisionAction/spawn(id:index:slot:)`` could not be made: as a death at its start.
    case spawnFailed(id: Int, reason: String)
    /// A worker's application has started: it accepts.
    case workerReady(id: Int)
    /// Somebody other than the supervisor has told a worker to stop. It goes on serving until it is told to drain.
    case workerLeaving(id: Int)
    /// A worker's process has ended and been waited for.
    case workerExited(id: Int, WorkerExit)
    /// A worker has stopped reading the sockets of a slot that it had adopted.
    case released(slot: Int, by: Int)
    /// A worker has answered a ping. `requests` are those since its start; `residentBytes` are what the system says of
    /// the process, read with the answer (only needed where ``SupervisionSettings/maxMemory`` is set).
    case pong(id: Int, number: Int, requests: Int, residentBytes: Int?)
    /// The answer to ``SupervisionAction/examine(id:)``: how long the threads of a worker have waited for a core since its
    /// start. Nil where the system does not say. Every message that the worker's socket held was handed over before.
    case examined(id: Int, runDelay: TimeSpan?)

    /// Replace every worker (SIGHUP).
    case reload
    /// Replace the executable of the supervisor and of every worker (SIGUSR2).
    case upgradeRequested
    /// The answer to ``SupervisionAction/checkExecutable(_:)``; the text says what is wrong where it is not usable.
    case executableChecked(isUsable: Bool, text: String)
    /// ``SupervisionAction/replaceImage(_:)`` has failed: the supervisor is who it was.
    case imageNotReplaced(reason: String)
    /// One worker more (SIGTTIN).
    case more
    /// One worker fewer (SIGTTOU).
    case fewer
    /// Drain and stop (SIGTERM, SIGINT); the second one stops at once.
    case stop(signal: Int32)
    /// Stop at once (SIGQUIT).
    case stopNow(signal: Int32)
}

/// How a worker's process has ended.
enum WorkerExit: Hashable, Sendable {
    /// It returned or called `exit`.
    case code(Int32)
    /// A signal has killed it.
    case signal(Int32)
}

extension WorkerExit: CustomStringConvertible {
    var description: String {
        switch self {
        case .code(let code): "exited with code \(code)"
        case .signal(let signal): "was killed by signal \(signal)"
        }
    }
}
