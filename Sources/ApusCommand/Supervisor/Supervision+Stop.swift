import ApusHTTP
import Logging

// The end: workers drain, and the supervisor leaves after the last of them.
extension Supervision {
    /// The first time: drain; the second: at once.
    mutating func stop(_ signal: Int32, _ now: Instant) {
        if ending == nil {
            log(.notice, "stopping: \(workers.count) workers drain")
            beginEnding(code: ExitStatus.stopped, now)
        } else {
            stopNow(signal)
        }
    }

    /// Kills everybody. The code is that of a process which the signal had killed, as shells count it.
    mutating func stopNow(_ signal: Int32) {
        let living = workers.values.filter { $0.state != .killed }.map(\.id).sorted()
        log(.warning, "stopping at once: \(living.count) workers are killed")
        for id in living {
            kill(id)
        }
        exit(code: 128 + signal)
    }

    /// Has everybody drain. Who reads what, and where new connections go, stays as it is.
    mutating func beginEnding(code: Int32, _ now: Instant) {
        ending = Ending(code: code)
        act(.stopping)
        batch = nil
        isReloadWished = false
        upgrade = .none
        for index in indices.indices {
            indices[index].worker = nil
        }
        for id in workers.keys.sorted() {
            retire(id, isReloading: false, now)
        }
    }

    /// Leaves after the last worker.
    mutating func finish() {
        guard let ending, !ending.isOver, workers.isEmpty else { return }
        exit(code: ending.code)
    }

    private mutating func exit(code: Int32) {
        ending = Ending(code: code, isOver: true)
        act(.exit(code: code))
    }
}
