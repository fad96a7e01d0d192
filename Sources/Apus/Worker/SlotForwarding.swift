import ApusHTTP
import ApusTransport
import Logging

/// Hands datagrams to the workers whose they are.
final class SlotForwarding {
    /// From one log line about lost datagrams to the next.
    private static let reportInterval = TimeSpan.seconds(10)

    private let slot: Int
    /// By slot.
    private let outgoing: [DatagramForwarder]
    private unowned let worker: Worker
    /// Forwarded datagrams that their slot's worker had no room for, since the last line about them.
    private var lost = 0
    private var nextReport = Instant(nanoseconds: 0)

    init(slot: Int, _ forwarding: Membership.Forwarding, worker: Worker) {
        self.slot = slot
        self.worker = worker
        outgoing = forwarding.senders.map { DatagramForwarder(sender: $0) }
    }

    /// Passes a datagram on to the worker of a slot.
    func forward(
        _ datagram: UnsafeRawBufferPointer,
        to slot: Int,
        place: Int,
        remote: SocketAddress,
        local: SocketAddress,
        ecn: UInt8
    ) {
        guard slot != self.slot, outgoing.indices.contains(slot),
            outgoing[slot].forward(datagram, place: place, remote: remote, local: local, ecn: ecn)
        else {
            countLoss(for: slot)
            return
        }
    }

    private func countLoss(for slot: Int) {
        lost += 1
        guard worker.loop.now >= nextReport else { return }
        nextReport = worker.loop.now + Self.reportInterval
        worker.logger.warning(
            "datagrams for other workers were lost because those do not take them: \(lost), last one for slot \(slot)"
        )
        lost = 0
    }
}
