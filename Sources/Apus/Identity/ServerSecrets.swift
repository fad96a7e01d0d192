import ApusHTTP3
import ApusTLS

/// What all workers of a server must share, so that each understands what the others gave to a client.
///
/// Never written to disk, shown to a log, or passed by a command line.
package struct ServerSecrets: Sendable {
    package let quic: QUICSecrets
    /// For the session tickets of TLS over TCP.
    package let tickets: TicketSecret
    /// For those of TLS in QUIC.
    package let quicTickets: [UInt8]

    private init(quic: QUICSecrets, tickets: TicketSecret, quicTickets: [UInt8]) {
        self.quic = quic
        self.tickets = tickets
        self.quicTickets = quicTickets
    }

    /// Fresh secrets.
    package static func random() -> ServerSecrets {
        // The two stacks must not share a key: what one of them makes of it is of no use against the other.
        ServerSecrets(quic: .random(), tickets: .random(), quicTickets: TicketSecret.random().bytes)
    }

    /// What ``ServerSockets/steer(newcomers:key:slotCount:)`` needs.
    package var steeringKey: UInt32 { quic.steeringKey }

    // MARK: - For the workers

    /// The secrets as bytes, for a channel that nobody else reads.
    package var encoded: [UInt8] {
        var writer = StateWriter()
        writer.append(quic.encoded)
        writer.append(tickets.bytes)
        writer.append(quicTickets)
        return writer.bytes
    }

    /// Reads what ``encoded`` gave; nil where it is something else.
    package init?(encoded bytes: [UInt8]) {
        var reader = StateReader(bytes)
        guard let first = try? reader.blob(), let quic = QUICSecrets(encoded: first),
            let second = try? reader.blob(), let tickets = TicketSecret(bytes: second),
            let third = try? reader.blob(), let quicTickets = TicketSecret(bytes: third),
            (try? reader.finish()) != nil
        else { return nil }
        self.init(quic: quic, tickets: tickets, quicTickets: quicTickets.bytes)
    }
}

extension ServerSecrets: CustomStringConvertible, CustomReflectable {
    package var description: String { "ServerSecrets" }
    package var customMirror: Mirror { Mirror(self, children: []) }
}
