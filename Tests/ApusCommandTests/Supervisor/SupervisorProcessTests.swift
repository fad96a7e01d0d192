import Foundation
import Glibc
import Testing

@testable import ApusCommand

/// The real command with workers: they answer, come and go, and nothing is left of them.
@Suite(.serialized, .timeLimit(.minutes(5)))
struct SupervisorProcessTests {
    @Test func `workers answer, are told of, and leave nothing behind`() async throws {
        let command = try RunningCommand.serve("--workers", "2")
        let port = try await command.port()
        #expect(try await command.get(port) == "Hello, World!")
        try await command.says("workers: 0 (slot 0), 1 (slot 1)")
        let status = try command.status()
        #expect(status.pid == command.pid)
        #expect(status.workers.map(\.slot) == [0, 1])
        #expect(status.workers.allSatisfy { $0.state == "active" })
        #expect(Set(status.workers.map(\.pid)) == Set(command.workers))
        command.signal(SIGTERM)
        #expect(try await command.end() == 0)
        #expect(access(command.statusSocket, F_OK) != 0)
        for worker in status.workers { #expect(kill(worker.pid, 0) != 0) }
    }

    @Test func `a worker that dies has a successor in its slot`() async throws {
        let command = try RunningCommand.serve("--workers", "2")
        let port = try await command.port()
        let victim = try #require(try command.status().workers.first)
        kill(victim.pid, SIGKILL)
        try await command.says("worker 0 (slot 0) is ready", times: 2)
        for _ in 0..<8 { #expect(try await command.get(port) == "Hello, World!") }
        #expect(try command.status().workers.map(\.id) == [3, 2])
        command.signal(SIGINT)
        #expect(try await command.end() == 0)
    }

    @Test func `a reload replaces every worker, and one more and one fewer are counted`() async throws {
        let command = try RunningCommand.serve("--workers", "1", "--max-workers", "2")
        let port = try await command.port()
        command.signal(SIGHUP)
        try await command.says("worker 0 (slot 0) has left")
        #expect(try command.status().workers.map(\.id) == [2])
        command.signal(SIGTTIN)
        try await expectEventually { try command.status().workers.filter { $0.state == "active" }.count == 2 }
        command.signal(SIGTTOU)
        try await command.says("worker 1 (slot 1) has left")
        #expect(try await command.get(port) == "Hello, World!")
        command.signal(SIGTERM)
        #expect(try await command.end() == 0)
    }

    @Test func `a new executable takes the place of the supervisor, with its number and its port`() async throws {
        let command = try RunningCommand.serve("--workers", "1")
        let port = try await command.port()
        command.signal(SIGUSR2)
        try await command.says("goes on in place")
        try await command.says("worker 0 (slot 0) has left")
        #expect(try await command.get(port) == "Hello, World!")
        let status = try command.status()
        #expect(status.pid == command.pid && status.workers.map(\.id) == [2])
        command.signal(SIGTERM)
        #expect(try await command.end() == 0)
        #expect(access(command.statusSocket, F_OK) != 0)
    }

    @Test func `a new executable serves on where files are gone, and makes the socket for status anew`() async throws {
        let command = try RunningCommand.serve("--workers", "1")
        let port = try await command.port()
        #expect(unlink(command.statusSocket) == 0)
        command.signal(SIGUSR2)
        try await command.says("worker 0 (slot 0) has left")
        #expect(try await command.get(port) == "Hello, World!")
        #expect(try command.status().workers.map(\.id) == [2])
        command.signal(SIGTERM)
        #expect(try await command.end() == 0)
        #expect(access(command.statusSocket, F_OK) != 0)
    }

    @Test func `workers say how they are when somebody asks, and one that hangs is shown as it was`() async throws {
        let command = try RunningCommand.serve("--workers", "2")
        let port = try await command.port()
        for count in 1...10 {
            _ = try await command.get(port)
            #expect(try command.status().workers.map(\.requests).reduce(0, +) == count)
        }
        let victim = try #require(try command.status().workers.first)
        kill(victim.pid, SIGSTOP)
        let status = try command.status()
        #expect(status.workers.map(\.requests).reduce(0, +) == 10)
        kill(victim.pid, SIGCONT)
        command.signal(SIGTERM)
        #expect(try await command.end() == 0)
    }

    @Test func `a terminal's SIGQUIT for all processes is the supervisor's alone`() async throws {
        let command = try RunningCommand.serve("--workers", "2")
        let port = try await command.port()
        let workers = command.workers
        for worker in workers { kill(worker, SIGQUIT) }
        for _ in 1...10 { #expect(try await command.get(port) == "Hello, World!") }
        #expect(Set(try command.status().workers.map(\.pid)) == Set(workers))
        command.signal(SIGQUIT)
        #expect(try await command.end() == 131)
        #expect(!command.output.contains("died") && !command.output.contains("Signal"))
    }

    @Test func `SIGUSR1, which has others open their log again, ends nobody`() async throws {
        let command = try RunningCommand.serve("--workers", "1")
        let port = try await command.port()
        command.signal(SIGUSR1)
        try await command.says("no file of the log is opened again")
        #expect(try await command.get(port) == "Hello, World!")
        command.signal(SIGTERM)
        #expect(try await command.end() == 0)
    }

    @Test func `workers leave when their supervisor is killed`() async throws {
        let command = try RunningCommand.serve("--workers", "2")
        _ = try await command.port()
        let workers = command.workers
        #expect(workers.count == 2)
        command.signal(SIGKILL)
        #expect(try await command.end() == -SIGKILL)
        try await expectEventually { workers.allSatisfy { kill($0, 0) != 0 } }
    }

    @Test(arguments: [(SIGTERM, 0), (SIGQUIT, 131)] as [(Int32, Int32)])
    func `a log that nobody reads holds up no end`(signal: Int32, code: Int32) async throws {
        let log = Pipe()
        let arguments = ["serve", "hello", "--bind", "127.0.0.1:0", "--no-access-log", "--workers", "1"]
        let command = try RunningCommand(arguments, log: log.fileHandleForWriting)
        try await expectEventually { (try? command.status())?.workers.first?.state == "active" }
        // Opened anew, so that only this end does not block.
        let end = open("/proc/self/fd/\(log.fileHandleForWriting.fileDescriptor)", O_WRONLY | O_NONBLOCK | O_CLOEXEC)
        defer { close(end) }
        while write(end, [0x2E], 1) == 1 {}
        command.signal(signal)
        #expect(try await command.end() == code)
    }

    @Test func `SIGQUIT ends everything at once`() async throws {
        let command = try RunningCommand.serve("--workers", "2")
        _ = try await command.port()
        let workers = command.workers
        command.signal(SIGQUIT)
        #expect(try await command.end() == 131)
        try await expectEventually { workers.allSatisfy { kill($0, 0) != 0 } }
    }

    @Test func `an application that cannot be named ends the start`() async throws {
        let command = try RunningCommand(["serve", "files:/there-is-none", "--bind", "127.0.0.1:0", "--workers", "2"])
        #expect(try await command.end() == 2)
        #expect(command.output.contains("Error: files:/there-is-none"))
        #expect(!command.output.contains("listening on"))
    }
}
