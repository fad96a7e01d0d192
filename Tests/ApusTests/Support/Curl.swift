import Foundation

/// What curl said.
struct CurlResult: Sendable {
    let exitCode: Int32
    let bytes: Data

    var text: String { String(decoding: bytes, as: UTF8.self) }
}

/// Runs the system's curl to its end: silent, with any certificate, and never through a proxy.
func runCurl(_ arguments: [String]) async throws -> CurlResult {
    try await onThread {
        let process = curlProcess(arguments)
        let output = Pipe()
        process.standardOutput = output
        try process.run()
        let bytes = try output.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        return CurlResult(exitCode: process.terminationStatus, bytes: bytes)
    }
}

/// A curl that is not yet started.
func curlProcess(_ arguments: [String]) -> Process {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = ["curl", "-sk", "--noproxy", "*", "--max-time", "30"] + arguments
    process.standardOutput = FileHandle.nullDevice
    process.standardError = FileHandle.nullDevice
    return process
}
