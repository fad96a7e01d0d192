import ApusTransport
import Glibc

/// Reads what other workers have forwarded to one slot: the worker's own, or one that it has adopted.
final class ForwardedIntake: EventHandler {
    /// Batches that are taken in a turn, before what they caused is sent.
    private static let maxBatchesPerTurn = 4

    private let receiver: Int32
    private let isOwner: Bool
    private let datagrams: ForwardedDatagrams
    private unowned let worker: Worker

    /// - Parameter isOwner: Whether `receiver` is closed with this object.
    init(receiver: Int32, isOwner: Bool, worker: Worker) {
        self.receiver = receiver
        self.isOwner = isOwner
        datagrams = ForwardedDatagrams(receiver: receiver)
        self.worker = worker
    }

    deinit {
        if isOwner { close(receiver) }
    }

    func start() throws(SystemError) {
        try datagrams.register(on: worker.loop, handler: self)
    }

    /// Leaves what comes from now on to the slot's next reader.
    func stop() {
        datagrams.stop()
    }

    func handle(_ events: IOEvents) {
        worker.awaitDatagrams()
        for _ in 0..<Self.maxBatchesPerTurn {
            let mayHaveMore = datagrams.receiveBatch { datagram, place, remote, local, ecn in
                worker.places[place]?.quic?
                    .receiveForwarded(datagram, local: local, remote: remote, ecn: ecn)
            }
            guard mayHaveMore else { break }
        }
        worker.serveDatagrams()
    }
}
