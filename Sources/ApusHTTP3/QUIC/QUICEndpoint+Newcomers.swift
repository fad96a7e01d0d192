import ApusHTTP
import CNgtcp2

/// Datagrams with connection IDs that are in no table: another worker's, a lost connection's, or a newcomer's.
extension QUICEndpoint {
    /// Finds out whose a datagram is that belongs to no connection here.
    func receiveUnknown(_ arrival: Arrival, _ identifier: ConnectionID) -> Int? {
        switch routing.owner(of: identifier) {
        case .nobody:
            return arrival.isLong ? receiveNewcomer(arrival) : drop()
        case .slot(let owner) where !adoptedSlots.contains(owner):
            // Only its owner knows whether the connection lives: nobody else may answer.
            guard arrival.isForwarded else { return owner }
            // But an owner that takes nobody any more sends here who has answered its Retry packet.
            return arrival.isLong ? receiveRetried(arrival) : drop()
        case .ourselves, .slot:
            // An ID that we answer for, of a connection that is gone or yet to come.
            return arrival.isLong ? receiveRetried(arrival) : resetStateless(arrival, identifier)
        }
    }

    /// Takes the first datagram of a client that has an ID of its own choice.
    private func receiveNewcomer(_ arrival: Arrival) -> Int? {
        guard let header = initialHeader(arrival), header.dcid.datalen >= Int(NGTCP2_MIN_INITIAL_DCIDLEN) else {
            return drop()
        }
        if let slot = otherNewcomerSlot(arrival) { return slot }
        guard admits(arrival) else { return refuse(arrival, header) }
        let proof = tokens.proof(in: header, from: arrival.remote)
        switch proof {
        case .invalid: return refuseToken(arrival, header)
        case .none where gate.demandsProof(arrival.now): return retry(arrival, header)
        case .none, .known, .retried: return accept(arrival, header, proof)
        }
    }

    /// Takes a handshake's datagram for an ID of this server's: that of a Retry packet, or of a connection that is gone.
    private func receiveRetried(_ arrival: Arrival) -> Int? {
        guard let header = initialHeader(arrival) else { return drop() }
        let proof = tokens.proof(in: header, from: arrival.remote)
        switch proof {
        case .retried:
            if isLeaving, let slot = otherNewcomerSlot(arrival) { return slot }
            return admits(arrival) ? accept(arrival, header, proof) : refuse(arrival, header)
        case .invalid:
            return refuseToken(arrival, header)
        case .none, .known:
            return drop()
        }
    }

    /// The header of an Initial packet that may begin a connection; nil for all else.
    private func initialHeader(_ arrival: Arrival) -> ngtcp2_pkt_hd? {
        var header = ngtcp2_pkt_hd()
        return ngtcp2_accept(&header, arrival.start, arrival.datagram.count) == 0 ? header : nil
    }

    /// The slot of the worker that takes a newcomer, where that is not this one.
    private func otherNewcomerSlot(_ arrival: Arrival) -> Int? {
        guard !arrival.isForwarded, let slot = routing.newcomerSlot(of: arrival.datagram, among: newcomers),
            slot != routing.slot, !adoptedSlots.contains(slot)
        else { return nil }
        return slot
    }

    /// Whether this worker drains while others take the newcomers.
    private var isLeaving: Bool {
        isShuttingDown && !newcomers.isEmpty && !newcomers.contains(routing.slot)
    }

    /// Whether one more connection may begin.
    ///
    /// Where all drain, nobody is let in. Where only this worker does, who was sent here by one that did not know yet is
    /// served: its next connection goes elsewhere.
    private func admits(_ arrival: Arrival) -> Bool {
        connectionCount < configuration.limits.maxConnections && room > 0
            && (!isShuttingDown || isLeaving && arrival.isForwarded)
    }

    private func accept(_ arrival: Arrival, _ header: ngtcp2_pkt_hd, _ proof: AddressTokens.Proof) -> Int? {
        let newcomer = QUICConnection.Newcomer(
            header: header,
            proof: proof,
            local: arrival.local,
            remote: arrival.remote,
            identifier: routing.make()
        )
        guard let connection = HTTP3Connection(newcomer, endpoint: self, now: arrival.now) else { return drop() }
        connectionCount += 1
        room -= 1
        if case .none = proof {
            connection.isUnproved = true
            gate.began()
        }
        for identifier in connection.identifiers { table.insert(identifier, connection) }
        connection.receive(
            arrival.datagram,
            local: arrival.local,
            remote: arrival.remote,
            ecn: arrival.ecn,
            now: arrival.now
        )
        if isShuttingDown { connection.shutdown(now: arrival.now) }
        touch(connection)
        return nil
    }
}
