import ApusHTTP

/// Who gets a datagram: connections, and for a while those that are closed, by every ID that leads to them.
final class ConnectionIDTable {
    enum Entry {
        case connection(HTTP3Connection)
        case closed(ClosedConnection)
    }

    private var entries: [ConnectionID: Entry] = [:]

    /// The number of IDs.
    var count: Int { entries.count }

    subscript(identifier: ConnectionID) -> Entry? {
        entries[identifier]
    }

    func insert(_ identifier: ConnectionID, _ connection: HTTP3Connection) {
        entries[identifier] = .connection(connection)
    }

    func insert(_ identifier: ConnectionID, _ closed: ClosedConnection) {
        entries[identifier] = .closed(closed)
    }

    func remove(_ identifier: ConnectionID) {
        entries[identifier] = nil
    }

    /// All open connections, each as often as it has IDs.
    var connections: [HTTP3Connection] {
        entries.values.compactMap { if case .connection(let connection) = $0 { connection } else { nil } }
    }

    func removeAll() {
        entries = [:]
    }
}

/// What is left of a connection in its closing or draining period (RFC 9000 §10.2).
final class ClosedConnection: Expiring {
    let identifiers: [ConnectionID]
    /// The packet that says why; empty while draining, when nothing may be sent.
    let packet: [UInt8]
    let deadline: Instant
    var heapIndex = -1
    private var received = 0
    private var nextAnswer = 1

    init(identifiers: [ConnectionID], packet: [UInt8], deadline: Instant) {
        self.identifiers = identifiers
        self.packet = packet
        self.deadline = deadline
    }

    /// Counts a late packet; true where it is to be answered: the first, the second, the fourth, the eighth.
    func answersNext() -> Bool {
        received &+= 1
        guard !packet.isEmpty, received >= nextAnswer else { return false }
        nextAnswer = nextAnswer &* 2
        return true
    }
}
