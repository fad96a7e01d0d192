import ApusHTTP
import CApusShims
import Glibc

/// Where accepted connections go.
struct Acceptor {
    let loop: EventLoop
    let onAccept: (TCPSocket) -> Void
    let onPause: (SystemError) -> Void
    /// Ends the pause after a shortage.
    let retryTimer: LoopTimer

    init(
        loop: EventLoop,
        listener: TCPListener,
        onAccept: @escaping (TCPSocket) -> Void,
        onPause: @escaping (SystemError) -> Void
    ) {
        self.loop = loop
        self.onAccept = onAccept
        self.onPause = onPause
        retryTimer = LoopTimer(loop: loop, handler: listener)
    }
}

extension TCPListener: EventHandler, TimerHandler {
    /// Connections accepted for one event; the rest waits for the next turn.
    static let acceptBatch = 64
    /// How long to leave the listener alone after an error that does not go away by itself.
    static let pauseTime = TimeSpan.milliseconds(100)

    package func handle(_ events: IOEvents) {
        accept(atMost: Self.acceptBatch)
    }

    /// Accepts what waits in the kernel's queue now, also while the listener is paused: for one who is about to
    /// close, which would reset it.
    package func accept(atMost count: Int) {
        let wasPaused = isPaused
        for _ in 0..<max(0, count) {
            // The callback may have paused, stopped or closed the listener.
            guard wasPaused || registration != nil, let acceptor, acceptOne(acceptor) else { return }
        }
    }

    /// Whether to try again at once.
    private func acceptOne(_ acceptor: Acceptor) -> Bool {
        var accepted: Int32 = -1
        let peer = SocketAddress.read { address, length in
            accepted = apus_accept(descriptor, address, &length)
            return accepted
        }
        guard accepted < 0 else {
            hasReportedShortage = false
            acceptor.onAccept(TCPSocket(descriptor: accepted, peerAddress: peer))
            return true
        }
        switch -accepted {
        case EAGAIN:
            return false
        case EINTR, ECONNABORTED, ENETDOWN, EPROTO, ENOPROTOOPT, EHOSTDOWN, ENONET, EHOSTUNREACH, EOPNOTSUPP,
            ENETUNREACH, EPERM:
            // accept(2): errors of the connection that was waiting, not of the listener.
            return true
        default:
            // EMFILE, ENFILE, ENOBUFS, ENOMEM; anything else would come again at once, too.
            pauseForShortage(acceptor, SystemError("accept", code: -accepted))
            return false
        }
    }

    private func pauseForShortage(_ acceptor: Acceptor, _ error: SystemError) {
        // Who was paused before resumes when told to, not by itself.
        if !isPaused {
            unwatch()
            acceptor.retryTimer.set(acceptor.loop.now + Self.pauseTime)
        }
        guard !hasReportedShortage else { return }
        hasReportedShortage = true
        acceptor.onPause(error)
    }

    package func timerFired(now: Instant) {
        do throws(SystemError) {
            try resume()
        } catch {
            // epoll lacks memory as well: the same shortage.
            if let acceptor { pauseForShortage(acceptor, error) }
        }
    }
}
