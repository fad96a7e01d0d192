import CApusShims
import Glibc

/// How a process has ended.
package enum ExitReason: Hashable, Sendable {
    /// By itself; -1 where nobody can tell the code any more.
    case code(Int32)
    /// By a signal.
    case signal(Int32)
}

/// Starts programs, and tells how they end. Nothing here forks the running image: its locks and threads would not survive.
package enum ChildProcess {
    /// Starts the program that a descriptor names, whatever has become of its file since.
    ///
    /// The child finds `control` as descriptor 3, and of ours nothing else but the standard ones (all are closed on exec).
    /// Every signal has its default effect, and none is blocked.
    package static func spawn(
        executable: Int32,
        arguments: [String],
        environment: [String: String],
        control: Int32
    ) throws(SystemError) -> pid_t {
        let result = withStrings(arguments, environment) { arguments, environment in
            apus_spawn(executable, nil, arguments, environment, control, -1, 0)
        }
        guard result > 0 else { throw SystemError("posix_spawn", code: -result) }
        return result
    }

    /// How a child of ours has ended; nil while it runs. It is gone for good once that has been told.
    package static func exited(_ pid: pid_t) -> ExitReason? {
        var status: Int32 = 0
        let result = apus_reap(pid, &status)
        guard result != 0 else { return nil }
        // ECHILD: somebody else has reaped it.
        return result > 0 ? ExitReason(status: status) : .code(-1)
    }

    /// Takes away the processes that have ended and nobody waits for: in a container's first process (and nowhere else)
    /// those whose own parents have ended before them.
    ///
    /// - Parameter isAwaited: Whether somebody waits for a child, who is left to that.
    package static func reapOrphans(butNot isAwaited: (pid_t) -> Bool) {
        guard getpid() == 1 else { return }
        while true {
            let pid = apus_next_ended()
            // An awaited one hides those behind it until it is reaped.
            guard pid > 0, !isAwaited(pid), exited(pid) != nil else { return }
        }
    }

    /// Sends a signal; false where there is no such process, or it is not ours to signal.
    @discardableResult
    package static func kill(_ pid: pid_t, _ signal: Int32) -> Bool {
        // 0 and negative numbers would mean groups of processes, ours among them.
        pid > 0 && Glibc.kill(pid, signal) == 0
    }

    /// Puts another program in the place of this one, which keeps its number, children and the `descriptors`.
    ///
    /// Signals that arrive meanwhile stay pending, and blocked, until the new program takes them: with the
    /// ``SignalQueue/handover`` in its environment at once.
    ///
    /// - Returns: Only where that has failed: why; everything is as it was.
    package static func replaceImage(
        executable path: String,
        arguments: [String],
        environment: [String: String],
        keeping descriptors: [Int32]
    ) -> SystemError {
        // Once it runs, a program that lacks one of them has nobody to go back to.
        guard descriptors.allSatisfy({ fcntl($0, F_GETFD) >= 0 }) else { return .last("fcntl") }
        let changed = descriptors.filter { fcntl($0, F_GETFD) == FD_CLOEXEC && fcntl($0, F_SETFD, 0) == 0 }
        let code = withStrings(arguments, environment) { apus_replace_image(path, $0, $1) }
        for descriptor in changed {
            _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        }
        return SystemError("execve", code: -code)
    }

    /// Calls with the arguments and the environment as C has them: valid until `body` returns.
    static func withStrings<Result>(
        _ arguments: [String],
        _ environment: [String: String],
        _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>, UnsafePointer<UnsafeMutablePointer<CChar>?>) -> Result
    ) -> Result {
        let arguments = arguments.map { strdup($0) } + [nil]
        let environment = environment.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { (arguments + environment).forEach { free($0) } }
        return arguments.withUnsafeBufferPointer { arguments in
            environment.withUnsafeBufferPointer { environment in
                // Neither is empty: the nil at the end.
                body(arguments.baseAddress!, environment.baseAddress!)
            }
        }
    }
}

extension ExitReason {
    /// wait(2): the low seven bits are the signal that ended it, if one did; the next byte is the code.
    init(status: Int32) {
        let signal = status & 0x7F
        self = signal == 0 ? .code(status >> 8 & 0xFF) : .signal(signal)
    }
}
