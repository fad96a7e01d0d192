import ApusGateway
import ArgumentParser
import Foundation
import Testing

@testable import ApusCommand

/// `--check` ends with what a start would end with, and binds nothing. Each in a process of its own, as it is one.
@Suite(.timeLimit(.minutes(5)))
struct CheckTests {
    private struct Broken: Error, CustomStringConvertible {
        let description = "the database is not there"
    }

    /// The code of a check, and ends the process with it.
    private static func check(_ arguments: [String], _ application: () throws -> any Application) async throws -> Never
    {
        let options = try ServeOptions.parse(["--check"] + arguments)
        exit(await options.exitStatus { try application() })
    }

    private static let application = ClosureApplication { _, _, _ in }

    private func said(_ bytes: [UInt8]?) -> String {
        String(decoding: bytes ?? [], as: UTF8.self)
    }

    @Test func `what is in order is said to be`() async throws {
        let result = await #expect(processExitsWith: .exitCode(0), observing: [\.standardOutputContent]) {
            // Nothing is bound: a privileged port, and an address that nobody has, are no matter.
            try await Self.check(["--bind", "192.0.2.1:1", "--workers", "2"]) { Self.application }
        }
        let text = said(result?.standardOutputContent)
        #expect(text.contains("are in order\n"))
    }

    @Test func `a setting that is wrong ends it with 2`() async throws {
        let result = await #expect(processExitsWith: .exitCode(2), observing: [\.standardErrorContent]) {
            try await Self.check(["--workers", "0"]) { Self.application }
        }
        let text = said(result?.standardErrorContent)
        #expect(text.contains("Error: --workers: '0' is neither auto"))
    }

    @Test func `a certificate that is not there ends it with 2`() async throws {
        let result = await #expect(processExitsWith: .exitCode(2), observing: [\.standardErrorContent]) {
            try await Self.check(["--certfile", "/none"]) { Self.application }
        }
        let text = said(result?.standardErrorContent)
        #expect(text.contains("Error: --certfile: "))
    }

    @Test func `an account that is not there ends it with 2`() async throws {
        let result = await #expect(processExitsWith: .exitCode(2), observing: [\.standardErrorContent]) {
            try await Self.check(["--user", "no one"]) { Self.application }
        }
        let text = said(result?.standardErrorContent)
        #expect(text.contains("Error: --user: there is no user 'no one'\n"))
    }

    @Test(.enabled(if: geteuid() == 0)) func `the application is made with the rights that it will have`() async throws
    {
        await #expect(processExitsWith: .exitCode(0)) {
            try await Self.check(["--user", "nobody"]) {
                guard geteuid() != 0, getegid() != 0 else { throw Broken() }
                return Self.application
            }
        }
    }

    @Test func `an application that cannot be made ends it with 3`() async throws {
        let result = await #expect(processExitsWith: .exitCode(3), observing: [\.standardErrorContent]) {
            try await Self.check([]) { throw Broken() }
        }
        let text = said(result?.standardErrorContent)
        #expect(text.contains("Error: the database is not there\n"))
    }
}
