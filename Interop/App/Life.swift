import ApusGateway
import Glibc

/// The application's life in one process, as its environment wants it: INTEROP_LIFE names a file, in which a line is
/// written for each startup and shutdown, and INTEROP_START names a file that says how a startup goes, or a shutdown.
struct Life {
    private let receive: Receive
    private let send: Send

    private struct Refusal: Error, CustomStringConvertible {
        var description: String { "the interop application does not want to start" }
    }

    init(_ receive: Receive, _ send: Send) {
        self.receive = receive
        self.send = send
    }

    func run() async throws {
        guard case .startup = try await receive() else { return }
        try await start()
        note("startup")
        try await send(.startupComplete)
        guard case .shutdown = try await receive() else { return }
        note("shutdown")
        if wish == UInt8(ascii: "e") { await Self.hang() }
        try await send(.shutdownComplete)
    }

    /// A file, so that what workers do can change while their supervisor runs.
    private func start() async throws {
        switch wish {
        case UInt8(ascii: "r"): throw Refusal()
        case UInt8(ascii: "a"): abort()
        case UInt8(ascii: "s"): try await Task.sleep(for: .seconds(2))
        case UInt8(ascii: "h"): await Self.hang()
        default: break
        }
    }

    private var wish: UInt8? {
        guard let path = getenv("INTEROP_START"), let file = fopen(path, "r") else { return nil }
        defer { fclose(file) }
        return UInt8(exactly: fgetc(file))
    }

    /// Whatever becomes of its task.
    private static func hang() async {
        await withUnsafeContinuation { (_: UnsafeContinuation<Void, Never>) in }
    }

    /// In one write, so that lines of several processes do not mix.
    private func note(_ event: String) {
        guard let path = getenv("INTEROP_LIFE") else { return }
        let file = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0o666)
        guard file >= 0 else { return }
        let line = Array("\(event) \(getpid())\n".utf8)
        _ = write(file, line, line.count)
        close(file)
    }
}
