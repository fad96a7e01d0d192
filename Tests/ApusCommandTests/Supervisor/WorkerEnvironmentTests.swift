import Testing

@testable import ApusCommand
@testable import ApusTransport

/// A worker has its supervisor's environment, less what is said to the supervisor alone.
struct WorkerEnvironmentTests {
    private let environment = [
        "PATH": "/bin", "APUS_BIND": ":80", "NOTIFY_SOCKET": "/n", "LISTEN_FDS": "2", "LISTEN_PID": "1",
        "LISTEN_FDNAMES": "a:b", "WATCHDOG_USEC": "5", "WATCHDOG_PID": "1", "APUS_SUPERVISOR": "9",
    ]

    @Test func `a worker is told that it is one, and nothing of the service manager`() {
        #expect(
            WorkerEnvironment.ofWorker(environment) == ["PATH": "/bin", "APUS_BIND": ":80", "APUS_WORKER": "1"]
        )
    }

    @Test func `a check is told neither`() {
        let own = environment.merging(["APUS_WORKER": "1"]) { _, new in new }
        #expect(WorkerEnvironment.withoutManager(own) == ["PATH": "/bin", "APUS_BIND": ":80"])
    }

    @Test(arguments: [
        (["apus", "serve", "hello"], ["apus", "serve", "hello", "--check"]),
        (["shop", "--workers", "2", "--", "x"], ["shop", "--workers", "2", "--check", "--", "x"]), ([], ["--check"]),
    ])
    func `a check has the same arguments, and says what it is`(arguments: [String], expected: [String]) {
        #expect(SupervisorProcess.checking(arguments) == expected)
    }

    @Test(
        arguments: [
            (0, "\(SettingsCheck.understanding)\nin order", nil), (0, "", "it cannot go on for a supervisor"),
            (0, "not \(SettingsCheck.understanding)", "it cannot go on for a supervisor"),
            (2, "\(SettingsCheck.understanding)\nError: --bind: no", "--bind: no"), (1, "", "its check says nothing"),
            (1, "one\ntwo", "two"), (1, SettingsCheck.understanding, "its check says nothing"),
        ] as [(Int32, String, String?)]
    )
    func `an executable is used that ends with 0, and has understood the state`(
        code: Int32,
        output: String,
        objection: String?
    ) {
        let ending = ChildProcess.Ending(reason: .code(code), standardError: output, isTimedOut: false)
        #expect(SupervisorProcess.objection(to: ending) == objection)
    }

    @Test func `of an executable that does not survive its check is told what has killed it`() {
        let output = "\(SettingsCheck.understanding)\nFatal error\nBacktrace took 0.1 s"
        let crashed = ChildProcess.Ending(reason: .signal(4), standardError: output, isTimedOut: false)
        #expect(SupervisorProcess.objection(to: crashed) == "its check was killed by signal 4")
        let killed = ChildProcess.Ending(reason: .signal(9), standardError: output, isTimedOut: true)
        #expect(SupervisorProcess.objection(to: killed) == "its check takes too long")
    }
}
