import ApusGateway
import ApusHTTP
import ApusHTTP3
import ApusTestClients
import Testing

/// A server's application that accepts WebSockets as they come, and writes down what happens to them.
final class TunnelApplication {
    /// What becomes of an opening: a status, and whether the application sends back what it gets.
    var accepts = true
    var echoes = false
    /// Streams whose bytes are not consumed.
    var unread: Set<StreamID> = []
    /// Whether the peer's end is answered with ours.
    var endsWithPeer = true

    private(set) var heads: [StreamID: RequestHead] = [:]
    private(set) var received: [StreamID: [UInt8]] = [:]
    private(set) var ended: Set<StreamID> = []
    private(set) var resets: [StreamID: StreamReset] = [:]
    private(set) var writable: [StreamID] = []
    private(set) var connection: HTTP3Connection?

    func handle(_ simulation: Simulation, _ connection: HTTP3Connection, _ event: StreamEvent) {
        self.connection = connection
        switch event {
        case .request(let id, let head):
            heads[id] = head
            guard head.isWebSocket else { return simulation.answer(connection, id, "Hello, World!") }
            if accepts { accept(id) }
        case .body(let id, let bytes):
            received[id, default: []] += bytes.memory
            if echoes { connection.send(.body(bytes, end: false), on: id) }
            if !unread.contains(id) { connection.consumed(bytes.count, on: id) }
        case .end(let id, _):
            ended.insert(id)
            guard heads[id]?.isWebSocket == true, endsWithPeer else { return }
            connection.send(.body(Bytes(), end: true), on: id)
            connection.applicationEnded(on: id)
        case .reset(let id, let reason):
            resets[id] = reason
            connection.applicationEnded(on: id)
        case .writable(let id):
            writable.append(id)
        }
    }

    func accept(_ id: StreamID) {
        connection?.send(.head(ResponseHead(status: 200, headers: [:], opensTunnel: true)), on: id)
    }

    func write(_ bytes: Bytes, end: Bool = false, on id: StreamID) {
        connection?.send(.body(bytes, end: end), on: id)
    }

    /// Takes what was left unread, and goes on reading.
    func read(_ id: StreamID) {
        unread.remove(id)
        connection?.consumed(received[id]?.count ?? 0, on: id)
    }
}

extension Simulation {
    /// Opens a WebSocket and waits for the server's 200.
    func openTunnel(_ client: HTTP3Client) -> Int64 {
        let id = client.openWebSocket()
        #expect(run { client.responses[id]?.status == 200 })
        return id
    }
}

/// Bytes that show where they are missing or out of order.
func pattern(_ count: Int, _ salt: Int = 0) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8 &+ salt) }
}
