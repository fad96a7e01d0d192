import ApusHTTP
import ApusTestClients
import Testing

@testable import ApusHTTP3

/// Early data is not taken: who tries it falls back to a handshake of one round trip.
@Suite struct EarlyDataTests {
    /// Whether a datagram of a client has a 0-RTT packet, behind as many Initial packets as may be.
    private func hasEarlyPacket(_ datagram: [UInt8]) -> Bool {
        var rest = datagram[...]
        // RFC 9000 §17.2: a long header; its type is in bits 4 and 5. The bit 6 may be anything (RFC 9287).
        while let first = rest.first, first & 0x80 != 0, rest.count > 7 {
            let type = first >> 4 & 3
            if type == 1 { return true }
            guard type == 0 else { return false }
            rest = rest.dropFirst(5)
            for _ in 0..<2 { rest = rest.dropFirst(1 + Int(rest.first ?? 0)) }
            // The token, and the rest of the packet.
            for _ in 0..<2 {
                let count = integer(&rest)
                rest = rest.dropFirst(count)
            }
        }
        return false
    }

    private func integer(_ bytes: inout ArraySlice<UInt8>) -> Int {
        guard let first = bytes.popFirst() else { return 0 }
        var value = Int(first & 0x3f)
        for _ in 1..<(1 << (first >> 6)) { value = value << 8 | Int(bytes.popFirst() ?? 0) }
        return value
    }

    @Test(arguments: [QUICRetry.off, .always])
    func `a client that tries early data falls back and is served`(retry: QUICRetry) throws {
        let cluster = try Cluster(slots: 2) { $0.retry = retry }
        var early = 0
        var received = 0
        cluster.handler = { connection, event in
            if case .body(_, let bytes) = event { received += bytes.count }
            connection.answerHello(event)
        }
        cluster.network.intercept = { bytes, target in
            if target == Cluster.serverAddress, hasEarlyPacket(bytes) { early += 1 }
            return bytes
        }
        let first = cluster.connect()
        first.request()
        #expect(cluster.run { first.responses[0]?.ended == true && first.hasTicket })
        #expect(early == 0)
        var options = HTTP3Client.Options()
        options.session = first.session
        options.earlyParameters = first.earlyParameters
        let second = cluster.connect(options)
        #expect(cluster.run { second.handshakeCompleted })
        #expect(early > 0)
        #expect(second.wasResumed && second.earlyDataWasRejected)
        let id = second.request()
        #expect(cluster.run { second.responses[id]?.ended == true })
        #expect(second.responses[id]?.status == 200)
        // Nothing of it has reached the application.
        #expect(received == 0)
    }
}
