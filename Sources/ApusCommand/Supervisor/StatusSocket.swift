import ApusHTTP
import ApusTransport
import Glibc

/// Answers whoever asks how the server is: a connection is given one JSON object, and closed.
///
/// Only our own user and root are answered. Confined to its loop's thread.
final class StatusSocket {
    /// Who may wait for an answer at a time.
    private static let backlog: Int32 = 16

    private let listener: TCPListener
    private let report: () -> StatusReport

    /// - Parameter report: What is told, at the time when somebody asks.
    init(_ socket: BoundSocket, report: @escaping () -> StatusReport) {
        listener = TCPListener(socket: socket)
        self.report = report
    }

    func start(on loop: EventLoop) throws(SystemError) {
        try listener.start(on: loop) { [unowned self] in answer($0) }
    }

    private func answer(_ client: TCPSocket) {
        defer { client.close() }
        guard let user = client.peerUser, user == 0 || user == geteuid() else { return }
        // A fresh socket has room for it: a worker takes some 200 bytes, and there are at most a few hundred.
        var text = report().json + "\n"
        text.withUTF8 { _ = client.write(UnsafeRawBufferPointer($0)) }
    }

    // MARK: - Its place

    /// Binds the socket where that is wanted.
    static func open(
        _ place: SupervisorSettings.StatusSocket,
        _ environment: [String: String]
    ) throws(SystemError) -> BoundSocket? {
        switch place {
        case .none: return nil
        case .path(let path): return try bind(path)
        case .usual:
            let folder = StatusFolder.usual(environment["XDG_RUNTIME_DIR"], user: geteuid())
            try PrivateFolder.make(folder)
            return try bind("\(folder)/\(getpid()).sock")
        }
    }

    private static func bind(_ path: String) throws(SystemError) -> BoundSocket {
        try BoundSocket.unix(.unix(path: path), backlog: backlog, access: UnixAccess(mode: 0o600))
    }
}
