import ApusHTTP
import ApusTransport
import CApusShims
import Glibc
import Testing

/// Whether the tests may become other users.
let isRoot = geteuid() == 0

/// Whether a process of that number exists, be it ours or not, or dead and not yet reaped.
func isAlive(_ pid: pid_t) -> Bool {
    kill(pid, 0) == 0 || errno == EPERM
}

/// A folder of its own, which is gone with this object.
final class TemporaryFolder {
    let path: String

    init() throws {
        var template = Array("/tmp/apus-process-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw SystemError("mkdtemp", code: errno) }
        path = template.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
    }

    deinit {
        _ = try? Shell.run("rm -r '\(path)'")
    }
}

/// Scripts, run by a real shell that was started from a descriptor.
enum Shell {
    /// Starts `sh` with its descriptor 3 connected to the one that is given back.
    static func start(
        _ script: String,
        environment: [String: String] = ["PATH": "/usr/bin:/bin"]
    ) throws -> (pid: pid_t, control: Int32) {
        var ends: [Int32] = [-1, -1]
        guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, &ends) == 0 else {
            throw SystemError("socketpair", code: errno)
        }
        defer { close(ends[1]) }
        let executable = open("/bin/sh", O_RDONLY | O_CLOEXEC)
        defer { close(executable) }
        do {
            let pid = try ChildProcess.spawn(
                executable: executable,
                arguments: ["sh", "-c", script],
                environment: environment,
                control: ends[1]
            )
            return (pid, ends[0])
        } catch {
            close(ends[0])
            throw error
        }
    }

    /// Runs a script to its end; what it wrote to descriptor 3, and how it ended.
    @discardableResult
    static func run(
        _ script: String,
        environment: [String: String] = ["PATH": "/usr/bin:/bin"]
    ) throws -> (text: String, reason: ExitReason) {
        let (pid, control) = try start(script, environment: environment)
        defer { close(control) }
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = read(control, &piece, piece.count)
            if count <= 0 { break }
            bytes += piece[..<count]
        }
        return (String(decoding: bytes, as: UTF8.self), wait(for: pid))
    }

    /// Blocks until a process has ended, and reaps it.
    static func wait(for pid: pid_t) -> ExitReason {
        var information = siginfo_t()
        // Leaves it for `exited` to reap.
        while waitid(P_PID, id_t(pid), &information, WEXITED | WNOWAIT) != 0, errno == EINTR {}
        return ChildProcess.exited(pid) ?? .code(-2)
    }

    /// One line from a descriptor.
    static func readLine(_ descriptor: Int32) -> String {
        var line: [UInt8] = []
        var byte: UInt8 = 0
        while read(descriptor, &byte, 1) == 1, byte != UInt8(ascii: "\n") { line.append(byte) }
        return String(decoding: line, as: UTF8.self)
    }
}
