import Foundation
import Glibc
import Testing

/// The real `apus` command, built beside the tests, with what it says in a file.
final class RunningCommand: Sendable {
    let pid: pid_t
    /// A folder of its own: for its output, and where it keeps its status socket.
    let folder: URL
    private let process: Process

    /// - Parameter log: Where it writes, in place of ``output``.
    init(_ arguments: [String], environment: [String: String] = [:], log: FileHandle? = nil) throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "apus-\(UUID().uuidString)")
        try FileManager.default.createDirectory(
            at: folder,
            withIntermediateDirectories: true,
            attributes: [.posixPermissions: 0o700]
        )
        let output = folder.appending(path: "output")
        _ = FileManager.default.createFile(atPath: output.path, contents: nil)
        let process = Process()
        process.executableURL = try Self.executable()
        process.arguments = arguments
        var variables = ProcessInfo.processInfo.environment.filter { !$0.key.hasPrefix("APUS_") }
        variables["XDG_RUNTIME_DIR"] = folder.path
        process.environment = variables.merging(environment) { _, new in new }
        let file = try log ?? FileHandle(forWritingTo: output)
        process.standardError = file
        process.standardOutput = file
        try process.run()
        self.process = process
        pid = process.processIdentifier
    }

    deinit {
        if process.isRunning {
            for worker in workers { kill(worker, SIGKILL) }
            kill(pid, SIGKILL)
        }
        try? FileManager.default.removeItem(at: folder)
    }

    /// `apus serve`, on a port that the system chooses.
    static func serve(_ arguments: String...) throws -> RunningCommand {
        try RunningCommand(["serve", "hello", "--bind", "127.0.0.1:0", "--no-access-log"] + arguments)
    }

    /// The test target depends on the command, so that it lies where the tests do.
    private static func executable() throws -> URL {
        let tests = URL(fileURLWithPath: try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe"))
        let command = tests.deletingLastPathComponent().appending(path: "apus")
        try #require(FileManager.default.isExecutableFile(atPath: command.path), "there is no \(command.path)")
        return command
    }

    // MARK: - What it says

    var output: String {
        (try? String(contentsOf: folder.appending(path: "output"), encoding: .utf8)) ?? ""
    }

    /// Waits until it has said something so many times.
    func says(_ text: String, times: Int = 1, sourceLocation: SourceLocation = #_sourceLocation) async throws {
        try await expectEventually(sourceLocation: sourceLocation, "'\(text)' in\n\(output)") {
            output.components(separatedBy: text).count > times
        }
    }

    /// The port of its banner.
    func port() async throws -> Int {
        try await says("listening on http://127.0.0.1:")
        let text = output.components(separatedBy: "listening on http://127.0.0.1:").last ?? ""
        return try #require(Int(text.prefix { $0.isNumber }))
    }

    /// What a client is answered.
    func get(_ port: Int) async throws -> String {
        let request = try #require(URL(string: "http://127.0.0.1:\(port)/"))
        let curl = Process()
        curl.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        curl.arguments = ["curl", "-s", "--noproxy", "*", "--max-time", "30", request.absoluteString]
        let answer = Pipe()
        curl.standardOutput = answer
        try curl.run()
        let bytes = try answer.fileHandleForReading.readToEnd() ?? Data()
        curl.waitUntilExit()
        return String(decoding: bytes, as: UTF8.self)
    }

    /// What its status socket says.
    func status() throws -> Status {
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(statusSocket.utf8)) }
        let length = socklen_t(MemoryLayout<sockaddr_un>.size)
        let result = withUnsafePointer(to: address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(descriptor, $0, length) }
        }
        guard result == 0 else { throw CannotBeAsked() }
        var bytes = [UInt8](repeating: 0, count: 65_536)
        var count = 0
        while true {
            let more = bytes.withUnsafeMutableBytes { read(descriptor, $0.baseAddress! + count, $0.count - count) }
            if more <= 0 { break }
            count += more
        }
        return try JSONDecoder().decode(Status.self, from: Data(bytes[..<count]))
    }

    /// It has no status socket yet, or one that does not listen yet.
    private struct CannotBeAsked: Error {}

    var statusSocket: String { folder.appending(path: "apus/\(pid).sock").path }

    struct Status: Decodable {
        struct Worker: Decodable {
            let id, index, slot, requests: Int
            let pid: pid_t
            let state: String
        }

        let pid: pid_t
        let workers: [Worker]
    }

    // MARK: - Its life

    /// Its children.
    var workers: [pid_t] {
        let threads = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/task")) ?? []
        return threads.flatMap { thread in
            let children = (try? String(contentsOfFile: "/proc/\(pid)/task/\(thread)/children", encoding: .utf8)) ?? ""
            return children.split(separator: " ").compactMap { pid_t($0) }
        }
    }

    func signal(_ number: Int32) {
        kill(pid, number)
    }

    /// Waits for its end; gives the exit code, or the number of the signal, negative.
    func end(sourceLocation: SourceLocation = #_sourceLocation) async throws -> Int32 {
        try await expectEventually(sourceLocation: sourceLocation, "an end after\n\(output)") { !process.isRunning }
        return process.terminationReason == .exit ? process.terminationStatus : -process.terminationStatus
    }
}

/// Expects that a condition that nobody announces comes true within some seconds.
func expectEventually(
    sourceLocation: SourceLocation = #_sourceLocation,
    _ comment: @autoclosure () -> String = "",
    _ condition: () throws -> Bool
) async throws {
    for _ in 0..<3000 {
        if try condition() { return }
        try await Task.sleep(for: .milliseconds(10))
    }
    Issue.record("this did not come true: \(comment())", sourceLocation: sourceLocation)
    throw CancellationError()
}
