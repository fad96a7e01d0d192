/// What makes a server one of several workers, each in a process (or on a loop) of its own.
package struct Membership: Sendable {
    /// Where datagrams are exchanged with the workers of other slots.
    package struct Forwarding: Sendable {
        /// What the others have forwarded to this slot.
        package let receiver: Int32
        /// By slot: where its worker receives.
        package let senders: [Int32]

        package init(receiver: Int32, senders: [Int32]) {
            self.receiver = receiver
            self.senders = senders
        }
    }

    package let slot: Int
    package let slotCount: Int
    package let sockets: SlotSockets
    package let secrets: ServerSecrets
    package let identity: ServerIdentity?
    /// nil where there is no other worker.
    package let forwarding: Forwarding?

    package init(
        slot: Int,
        slotCount: Int,
        sockets: SlotSockets,
        secrets: ServerSecrets,
        identity: ServerIdentity?,
        forwarding: Forwarding?
    ) {
        self.slot = slot
        self.slotCount = slotCount
        self.sockets = sockets
        self.secrets = secrets
        self.identity = identity
        self.forwarding = forwarding
    }
}
