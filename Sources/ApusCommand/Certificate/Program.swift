import Glibc

/// Runs another program to its end, with nothing to read and nothing to say.
enum Program {
    enum Ending: Equatable {
        case exited(Int32)
        case notFound
        /// It could not be started; an error number.
        case failed(Int32)
    }

    /// - Parameter arguments: The program's name, looked for in `PATH`, and its arguments.
    static func run(_ arguments: [String]) -> Ending {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        for descriptor in [STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO] {
            posix_spawn_file_actions_addopen(&actions, descriptor, "/dev/null", O_RDWR, 0)
        }
        var arguments = arguments.map { strdup($0) } + [nil]
        defer { arguments.forEach { free($0) } }
        var process = pid_t()
        // The environment stays here: what is run does not need it, and it may hold passwords.
        var environment: [UnsafeMutablePointer<CChar>?] = [nil]
        let code = posix_spawnp(&process, arguments[0]!, &actions, nil, &arguments, &environment)
        guard code == 0 else { return code == ENOENT ? .notFound : .failed(code) }
        return wait(for: process)
    }

    private static func wait(for process: pid_t) -> Ending {
        var status: Int32 = 0
        while waitpid(process, &status, 0) < 0 {
            let code = errno
            if code != EINTR { return .failed(code) }
        }
        // wait(2): the low seven bits are the signal that ended it, if one did; the next byte is the code.
        let signal = status & 0x7F
        return .exited(signal == 0 ? status >> 8 & 0xFF : 128 + signal)
    }
}
