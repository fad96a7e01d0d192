import ApusHTTP3
import ApusTransport

/// One UDP socket of a QUIC driver, with the connections that wait for room in it.
final class QUICPort: EventHandler {
    let socket: UDPSocket
    /// Whether other workers have the same socket, so that only one of them reads it.
    let isShared: Bool
    unowned let driver: QUICDriver
    private var waiting: [QUICConnectionDriver] = []

    init(socket: UDPSocket, isShared: Bool, driver: QUICDriver) {
        self.socket = socket
        self.isShared = isShared
        self.driver = driver
    }

    func handle(_ events: IOEvents) {
        if events.contains(.writable) { becameWritable() }
        // An error of the socket is read away, too.
        driver.read(from: self)
    }

    func await(_ connection: QUICConnectionDriver) {
        waiting.append(connection)
        try? socket.setWantsWritable(true)
    }

    private func becameWritable() {
        let ready = waiting
        waiting = []
        try? socket.setWantsWritable(false)
        for connection in ready {
            connection.unblock()
        }
    }
}
