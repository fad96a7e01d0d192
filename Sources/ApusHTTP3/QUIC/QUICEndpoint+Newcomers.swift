import ApusHTTP
import CNgtcp2

/// Datagrams with connection IDs that are in no table: another worker's, a lost connection's, or a newcomer's.
extension QUICEndpoint {
    /// Finds out whose a datagram is that belongs to no connection here.
    func receiveUnknown(_ arrival: Arrival, _ identifier: ConnectionID) -> Int? {
        switch routing.owner(of: identifier) {
        case .nobody:
            return arrival.isLong ? receiveNewcomer(arrival, identifier) : drop()
        case .slot(let owner) where !adoptedSlots.contains(owner):
            // Only its owner knows whether the connection lives: nobody else may answer.
            return arrival.isForwarded ? drop() : owner
        case .ourselves, .slot:
            // An ID that we answer for, of a connection that is gone.
            return arrival.isLong ? drop() : resetStateless(arrival, identifier)
        }
    }

    /// The slot of the worker that takes a newcomer, where that is not this one.
    private func newcomersOtherSlot(_ arrival: Arrival) -> Int? {
        guard !arrival.isForwarded, let slot = routing.newcomerSlot(of: arrival.datagram, among: newcomers),
            slot != routing.slot, !adoptedSlots.contains(slot)
        else { return nil }
        return slot
    }

    private func receiveNewcomer(_ arrival: Arrival, _ identifier: ConnectionID) -> Int? {
        if let slot = newcomersOtherSlot(arrival) { return slot }
        var header = ngtcp2_pkt_hd()
        guard ngtcp2_accept(&header, arrival.start, arrival.datagram.count) == 0 else { return drop() }
        guard !isShuttingDown, connectionCount < configuration.limits.maxConnections else {
            return refuse(arrival, header)
        }
        return accept(arrival, header)
    }

    private func accept(_ arrival: Arrival, _ header: ngtcp2_pkt_hd) -> Int? {
        let newcomer = QUICConnection.Newcomer(
            header: header,
            local: arrival.local,
            remote: arrival.remote,
            identifier: routing.make()
        )
        guard let connection = HTTP3Connection(newcomer, endpoint: self, now: arrival.now) else { return drop() }
        connectionCount += 1
        for identifier in connection.identifiers { table.insert(identifier, connection) }
        connection.receive(
            arrival.datagram,
            local: arrival.local,
            remote: arrival.remote,
            ecn: arrival.ecn,
            now: arrival.now
        )
        touch(connection)
        return nil
    }
}
