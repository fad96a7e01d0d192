import ApusHTTP
import ApusTransport
import Glibc

/// Answers whoever asks how the server is: a connection is given one JSON object, and closed. The workers are asked first.
///
/// Only our own user and root are answered. Confined to its loop's thread.
final class StatusSocket {
    /// Who may wait for an answer at a time.
    private static let backlog: Int32 = 16
    /// How long workers have to say how they are; one that does not is shown as it was.
    static let patience = TimeSpan.milliseconds(200)

    private let listener: TCPListener
    private let loop: EventLoop
    private let timer: LoopTimer
    private let ask: () -> Set<Int>
    private let report: () -> StatusReport
    private var waiting: [TCPSocket] = []
    /// The workers that have not said yet how they are.
    private var awaited: Set<Int> = []

    /// - Parameters:
    ///   - ask: Asks workers how they are, and tells which; ``heard(from:)`` follows.
    ///   - report: What is told once they have answered, or have not in time.
    init(
        _ socket: BoundSocket,
        on loop: EventLoop,
        ask: @escaping () -> Set<Int>,
        report: @escaping () -> StatusReport
    ) {
        listener = TCPListener(socket: socket)
        self.loop = loop
        timer = LoopTimer(loop: loop)
        self.ask = ask
        self.report = report
        timer.handler = self
    }

    func start() throws(SystemError) {
        try listener.start(on: loop) { [unowned self] in accepted($0) }
    }

    private func accepted(_ client: TCPSocket) {
        guard let user = client.peerUser, user == 0 || user == geteuid() else { return client.close() }
        waiting.append(client)
        // Who comes while others wait is told along with them.
        if waiting.count == 1 {
            awaited = ask()
            timer.set(loop.now + Self.patience)
        }
        if awaited.isEmpty || waiting.count >= Self.backlog { answer() }
    }

    /// A worker has said how it is, or never will.
    func heard(from worker: Int) {
        guard awaited.remove(worker) != nil, awaited.isEmpty else { return }
        answer()
    }

    /// Tells all who wait what there is to tell.
    func answer() {
        guard !waiting.isEmpty else { return }
        timer.set(nil)
        awaited = []
        var text = report().json + "\n"
        for client in waiting {
            // A fresh socket has room for it: a worker takes some 200 bytes, and there are at most a few hundred.
            text.withUTF8 { _ = client.write(UnsafeRawBufferPointer($0)) }
            client.close()
        }
        waiting = []
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

    /// Goes on with the socket of the image that was here before; binds another where its file is gone, by which it is found.
    static func open(_ path: String, adopting descriptor: Int32) throws(SystemError) -> BoundSocket {
        if let socket = try? BoundSocket(inherited: descriptor, ownsFile: true) { return socket }
        Glibc.close(descriptor)
        return try bind(path)
    }

    private static func bind(_ path: String) throws(SystemError) -> BoundSocket {
        try BoundSocket.unix(.unix(path: path), backlog: backlog, access: UnixAccess(mode: 0o600))
    }
}

extension StatusSocket: TimerHandler {
    func timerFired(now: Instant) {
        answer()
    }
}
