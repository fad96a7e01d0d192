import Apus
import ApusGateway
import ArgumentParser
import Testing

@testable import ApusCommand

/// When an application is made, and what its failure comes to.
struct ServeTests {
    private struct Silent: Application {
        func callAsFunction(_ scope: Scope, _ receive: Receive, _ send: Send) async throws {}
    }

    private struct Broken: Error {}

    private func code(_ arguments: [String], _ application: () async throws -> any Application) async throws -> Int32 {
        let options = try ServeOptions.parse(arguments)
        do {
            try await options.serve(await application())
            return ExitStatus.stopped
        } catch let code as ExitCode {
            return code.rawValue
        }
    }

    @Test func `a check makes the application once`() async throws {
        var count = 0
        let code = try await code(["--check", "--workers", "2"]) {
            count += 1
            return Silent()
        }
        #expect(code == 0)
        #expect(count == 1)
    }

    @Test func `an application that cannot be made is one that cannot start`() async throws {
        #expect(try await code(["--check"]) { throw Broken() } == 3)
        #expect(try await code(["--check"]) { throw ConfigurationError(option: "files:x", "is none") } == 2)
    }

    @Test func `no application is made where the settings cannot be`() async throws {
        let code = try await code(["--check", "--port", "x"]) {
            Issue.record("an application was made")
            return Silent()
        }
        #expect(code == 2)
    }
}
