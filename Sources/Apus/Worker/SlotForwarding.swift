import ApusHTTP
import ApusTransport
import Logging

/// Hands datagrams to the workers whose they are, and takes ours from those that others got.
final class SlotForwarding: EventHandler {
    /// Batches that are taken in a turn, before what they caused is sent.
    private static let maxBatchesPerTurn = 4
    /// From one log line about lost datagrams to the next.
    private static let reportInterval = TimeSpan.seconds(10)

    private let slot: Int
    private let incoming: ForwardedDatagrams
    /// By slot.
    private let outgoing: [DatagramForwarder]
    private unowned let worker: Worker
    /// Forwarded datagrams that their slot's worker had no room for, since the last line about them.
    private var lost = 0
    private var nextReport = Instant(nanoseconds: 0)

    init(slot: Int, _ forwarding: Membership.Forwarding, worker: Worker) {
        self.slot = slot
        self.worker = worker
        incoming = ForwardedDatagrams(receiver: forwarding.receiver)
        outgoing = forwarding.senders.map { DatagramForwarder(sender: $0) }
    }

    func start() throws(SystemError) {
        try incoming.register(on: worker.loop, handler: self)
    }

    func stop() {
        incoming.stop()
    }

    /// Takes what others got for us.
    func handle(_ events: IOEvents) {
        for _ in 0..<Self.maxBatchesPerTurn {
            let mayHaveMore = incoming.receiveBatch { datagram, place, remote, local, ecn in
                worker.places[place]?.quic?
                    .receiveForwarded(datagram, local: local, remote: remote, ecn: ecn)
            }
            guard mayHaveMore else { break }
        }
        worker.serveDatagrams()
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
