import ApusHTTP3
import ApusTransport

/// The sockets of one address: one for each slot, in their order, or a single one that all slots share.
struct SocketGroup: Sendable {
    /// Which place of the configuration it belongs to.
    let place: Int
    let isSecure: Bool
    let isShared: Bool
    /// Whether we have bound them ourselves, so that the file of a unix socket is ours to remove.
    let isOwn: Bool
    var sockets: [BoundSocket]

    /// What a slot has of the group.
    func entry(of slot: Int) -> SlotSockets.Entry {
        SlotSockets.Entry(
            place: place,
            isSecure: isSecure,
            isShared: isShared,
            socket: isShared ? sockets[0] : sockets[slot]
        )
    }

    /// Tells the kernel which slots get what is new; datagrams of connections go to their owner.
    func steer(newcomers: [Int], key: UInt32, slotCount: Int) throws(SystemError) {
        // One socket gets everything anyway; a shared one is not in a group at all.
        guard sockets.count > 1 else { return }
        try Self.program(for: sockets[0].kind, newcomers: newcomers, key: key, slotCount: slotCount)
            .attach(to: sockets[0])
    }

    private static func program(
        for kind: BoundSocket.Kind,
        newcomers: [Int],
        key: UInt32,
        slotCount: Int
    ) -> SteeringProgram {
        switch kind {
        case .tcp, .unix:
            .connections(newcomers: newcomers)
        case .udp:
            .datagrams(
                slotCount: slotCount,
                newcomers: newcomers,
                key: key,
                idLength: ConnectionIDRouting.length
            )
        }
    }
}
