import Glibc
import Testing

@testable import ApusCommand

/// The real command without workers.
@Suite(.serialized, .timeLimit(.minutes(5)))
struct SingleProcessTests {
    @Test func `signals that are a supervisor's to act on are told of`() async throws {
        let command = try RunningCommand.serve()
        let port = try await command.port()
        command.signal(SIGHUP)
        try await command.says("certificates are read again")
        command.signal(SIGUSR1)
        try await command.says("no file of the log is opened again")
        command.signal(SIGTTIN)
        try await command.says("the number of workers stays: there is no supervisor")
        command.signal(SIGUSR2)
        try await command.says("no new executable is started: there is no supervisor")
        #expect(try await command.get(port) == "Hello, World!")
        command.signal(SIGTERM)
        #expect(try await command.end() == 0)
    }

    @Test func `SIGQUIT ends the process at once`() async throws {
        let command = try RunningCommand.serve()
        _ = try await command.port()
        command.signal(SIGQUIT)
        #expect(try await command.end() == 131)
    }

    @Test func `a worker's variable without a supervisor means nothing`() async throws {
        let command = try RunningCommand(
            ["serve", "hello", "--bind", "127.0.0.1:0"],
            environment: ["APUS_WORKER": "1", "APUS_SUPERVISOR": "1"]
        )
        let port = try await command.port()
        #expect(try await command.get(port) == "Hello, World!")
        command.signal(SIGTERM)
        #expect(try await command.end() == 0)
    }

    @Test func `a check looks at everything, and binds nothing`() async throws {
        let arguments = ["serve", "hello", "--bind", "192.0.2.1:1", "--check"]
        let good = try RunningCommand(arguments)
        #expect(try await good.end() == 0)
        let bad = try RunningCommand(arguments + ["--certfile", "/there-is-none"])
        #expect(try await bad.end() == 2)
        let missing = try RunningCommand(["serve", "files:/there-is-none", "--check"])
        #expect(try await missing.end() == 2)
    }
}
