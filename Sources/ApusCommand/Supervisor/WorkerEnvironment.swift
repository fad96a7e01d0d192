/// The variables that tell a process which part it plays.
enum WorkerEnvironment {
    /// Set for a worker; its value says nothing.
    static let variable = "APUS_WORKER"

    /// The environment of a worker: its supervisor's, less what is meant for the supervisor alone.
    static func ofWorker(_ environment: [String: String]) -> [String: String] {
        var own = withoutManager(environment)
        own[variable] = "1"
        return own
    }

    /// Less what the service manager says to one process: its sockets, and where that is to report.
    static func withoutManager(_ environment: [String: String]) -> [String: String] {
        environment.filter { name, _ in
            name != "NOTIFY_SOCKET" && !name.hasPrefix("LISTEN_") && !name.hasPrefix("WATCHDOG_")
                && name != ExecState.variable && name != variable
        }
    }
}
