import ApusTransport
import Logging

/// The sockets of one slot, read as one thing: what waits there is accepted, or given to its place's QUIC endpoint, as is
/// what other workers forward to the slot.
///
/// A worker has one for its own slot, and one for each slot that it has adopted. It never closes a socket: whoever owns
/// them may have another reader for them.
final class SlotIntake {
    private struct Acceptor {
        let listener: TCPListener
        let context: ListenerContext
        /// Whether other workers accept from the same socket.
        let isShared: Bool
    }

    let slot: Int
    private let loop: EventLoop
    private var acceptors: [Acceptor] = []
    private var ports: [QUICPort] = []
    private let forwarded: ForwardedIntake?

    /// Takes the sockets of `entries`; they are read from ``start(isReader:onAccept:onPause:)`` on.
    init(
        slot: Int,
        entries: [SlotSockets.Entry],
        forwarded: ForwardedIntake?,
        loop: EventLoop,
        place: (Int) -> ServedPlace?
    ) throws(SystemError) {
        self.slot = slot
        self.loop = loop
        self.forwarded = forwarded
        for entry in entries {
            guard let place = place(entry.place) else { continue }
            if entry.socket.kind != .udp {
                let listener = TCPListener(socket: entry.socket, isShared: entry.isShared)
                let context = place.context(for: entry.socket)
                acceptors.append(Acceptor(listener: listener, context: context, isShared: entry.isShared))
            } else if let driver = place.quic {
                ports.append(
                    QUICPort(socket: try UDPSocket(socket: entry.socket), isShared: entry.isShared, driver: driver)
                )
            }
        }
    }

    /// Lets the drivers of QUIC send through these sockets.
    func registerSenders() {
        for port in ports { port.driver.send(through: port) }
    }

    /// Begins to read.
    ///
    /// - Parameter isReader: Whether UDP sockets that several workers have are read here.
    func start(
        isReader: Bool,
        onAccept: @escaping (TCPSocket, ListenerContext) -> Void,
        onPause: @escaping (SystemError) -> Void
    ) throws(SystemError) {
        for acceptor in acceptors {
            let context = acceptor.context
            try acceptor.listener.start(on: loop, onAccept: { onAccept($0, context) }, onPause: onPause)
        }
        for port in ports {
            try port.socket.register(on: loop, handler: port, isReading: isReader || !port.isShared)
        }
        try forwarded?.start()
    }

    func setReader(_ isReader: Bool) throws(SystemError) {
        for port in ports where port.isShared { try port.socket.setReading(isReader) }
    }

    // MARK: - Accepting

    /// Leaves new connections in the kernel's queue.
    func pauseAccepting() {
        for acceptor in acceptors { acceptor.listener.pause() }
    }

    func resumeAccepting() throws(SystemError) {
        for acceptor in acceptors { try acceptor.listener.resume() }
    }

    /// Accepts what waits already, without waiting for the loop.
    func acceptWaiting(atMost count: Int) {
        for acceptor in acceptors { acceptor.listener.accept(atMost: count) }
    }

    func stopAccepting() {
        for acceptor in acceptors { acceptor.listener.stop() }
        acceptors = []
    }

    /// Leaves what other workers forward from now on to the slot's next reader.
    func stopForwarded() {
        forwarded?.stop()
    }

    /// Accepts what waits already, and leaves what comes from now on to others.
    ///
    /// - Parameters:
    ///   - sharedOnly: Whether that goes only for sockets from which other workers accept, too.
    ///   - isClosing: Whether this process needs the sockets no longer.
    ///   - room: How many connections may be accepted.
    func acceptTheLast(ofShared sharedOnly: Bool, isClosing: Bool, _ room: () -> Int) {
        for acceptor in acceptors where acceptor.isShared || !sharedOnly {
            // The kernel may have woken this worker alone for what waits, and wakes nobody else for it: so the last look
            // comes when it cannot be woken any more.
            acceptor.listener.pause()
            acceptor.listener.accept(atMost: room())
            if isClosing { acceptor.listener.close() } else { acceptor.listener.stop() }
        }
        acceptors.removeAll { $0.isShared || !sharedOnly }
    }

    /// Leaves everything that comes from now on to the slot's next reader.
    func stop() {
        stopAccepting()
        for port in ports { port.socket.stop() }
        ports = []
        stopForwarded()
    }
}
