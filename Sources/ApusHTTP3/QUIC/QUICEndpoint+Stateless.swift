import ApusHTTP
import CNgtcp2

/// Answers to datagrams that belong to no connection: bounded in number, and never larger than what caused them.
extension QUICEndpoint {
    /// RFC 9000 §6.1: an unknown version is answered with those that are known, if the datagram is large enough.
    func negotiateVersion(_ arrival: Arrival, _ header: ngtcp2_version_cid) -> Int? {
        guard arrival.datagram.count >= Int(NGTCP2_MAX_UDP_PAYLOAD_SIZE), answerBudget.take(arrival.now) else {
            return drop()
        }
        // RFC 9000 §6.3: a reserved version in front keeps clients used to unknown ones.
        let versions: [UInt32] = [0x1a2a_3a4a, UInt32(NGTCP2_PROTO_VER_V1)]
        var random: UInt8 = 0
        withUnsafeMutableBytes(of: &random) { fillRandom($0) }
        let packet = written(upTo: 600) { target, capacity in
            ngtcp2_pkt_write_version_negotiation(
                target,
                capacity,
                random,
                header.scid,
                header.scidlen,
                header.dcid,
                header.dcidlen,
                versions,
                versions.count
            )
        }
        return answer(packet, arrival)
    }

    /// RFC 9000 §10.3: tells a client that its connection is no more; only for IDs that this worker answers for.
    func resetStateless(_ arrival: Arrival, _ identifier: ConnectionID) -> Int? {
        // Shorter than its trigger, so that two endpoints cannot reset each other for ever (RFC 9000 §10.3.3).
        let length = min(arrival.datagram.count - 1, 43)
        guard length >= ConnectionIDRouting.length + 20, resetBudget.take(arrival.now) else { return drop() }
        var token: [UInt8] = Array(repeating: 0, count: Int(NGTCP2_STATELESS_RESET_TOKENLEN))
        var target = identifier.cValue
        token.withUnsafeMutableBytes { resetToken($0, of: &target, secret: configuration.secrets.staticSecret) }
        var random: [UInt8] = Array(repeating: 0, count: length - token.count)
        random.withUnsafeMutableBytes { fillRandom($0) }
        let packet = written(upTo: length) { target, capacity in
            ngtcp2_pkt_write_stateless_reset(target, capacity, token, random, random.count)
        }
        return answer(packet, arrival)
    }

    /// Turns a newcomer away who would come too late, or be one too many.
    func refuse(_ arrival: Arrival, _ header: ngtcp2_pkt_hd) -> Int? {
        close(arrival, header, code: UInt64(NGTCP2_CONNECTION_REFUSED))
    }

    /// RFC 9000 §8.1.2: a client takes no second Retry packet, so that one whose answer to the first proves nothing is told
    /// at once.
    func refuseToken(_ arrival: Arrival, _ header: ngtcp2_pkt_hd) -> Int? {
        close(arrival, header, code: UInt64(NGTCP2_INVALID_TOKEN))
    }

    private func close(_ arrival: Arrival, _ header: ngtcp2_pkt_hd, code: UInt64) -> Int? {
        guard answerBudget.take(arrival.now) else { return drop() }
        var peer = header.scid
        var own = header.dcid
        let packet = written(upTo: Int(NGTCP2_MAX_UDP_PAYLOAD_SIZE)) { target, capacity in
            ngtcp2_crypto_write_connection_close(target, capacity, header.version, &peer, &own, code, nil, 0)
        }
        return answer(packet, arrival)
    }

    /// RFC 9000 §8.1.2: has a newcomer come again with a token that was sent to its address.
    ///
    /// The ID that it must use is one of ours: what it sends next is steered to this worker.
    func retry(_ arrival: Arrival, _ header: ngtcp2_pkt_hd) -> Int? {
        guard gate.maySend(arrival.now) else { return drop() }
        var newID = routing.make().cValue
        let token = tokens.retryToken(for: arrival.remote, header: header, newID: newID)
        var peer = header.scid
        var original = header.dcid
        let packet = written(upTo: Int(NGTCP2_MAX_UDP_PAYLOAD_SIZE)) { target, capacity in
            ngtcp2_crypto_write_retry(
                target,
                capacity,
                header.version,
                &peer,
                &newID,
                &original,
                token,
                token.count
            )
        }
        retriesSent += 1
        return answer(packet, arrival)
    }

    private func written(upTo capacity: Int, _ write: (UnsafeMutablePointer<UInt8>?, Int) -> Int) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: capacity) { buffer, count in
            count = max(0, write(buffer.baseAddress, capacity))
        }
    }
}
