import ApusHTTP

/// What a supervisor hands to the executable that takes its place: its workers, and who reads what.
///
/// What can be drawn or learnt again is left out, since every worker is replaced at once.
struct SupervisionState: Equatable, Sendable {
    /// A worker that has not exited.
    struct Worker: Equatable, Sendable {
        let id: Int
        let index: Int
        let slot: Int
        let state: WorkerRecord.State
        let startedAt: Instant
        /// When its drain takes too long; for one that drains.
        let drainDeadline: Instant?
    }

    /// A slot that a worker of another one reads.
    struct Adoption: Equatable, Sendable {
        let slot: Int
        let id: Int
        /// Whether it was asked to stop.
        let isReleasing: Bool
    }

    /// The indices there can be: the sockets are bound for so many.
    var maxWorkers: Int
    /// The next worker's number.
    var nextID: Int
    /// Whether the banner has been shown.
    var isAnnounced: Bool
    /// The slots that new connections go to.
    var newcomers: [Int]
    /// The slot of each index that is served.
    var homes: [Int]
    /// The worker that reads the shared UDP sockets.
    var reader: Int?
    /// In the order of their numbers.
    var workers: [Worker]
    /// In the order of their slots.
    var adoptions: [Adoption]
}

extension Supervision {
    /// The state of now. No batch runs where it is handed over.
    var state: SupervisionState {
        SupervisionState(
            maxWorkers: settings.maxWorkers,
            nextID: nextID,
            isAnnounced: isAnnounced,
            newcomers: newcomers,
            homes: indices.map(\.home),
            reader: reader,
            workers: workers.values.sorted { $0.id < $1.id }.map(SupervisionState.Worker.init),
            adoptions: slots.holders.enumerated().compactMap(SupervisionState.Adoption.init)
        )
    }

    /// A supervisor that continues where another executable has left off: it knows its workers, and replaces them all.
    ///
    /// The slots are those of the state, since the sockets are.
    init(
        restoring state: SupervisionState,
        settings: SupervisionSettings,
        random: any RandomNumberGenerator = SystemRandomNumberGenerator()
    ) {
        var settings = settings
        settings.maxWorkers = state.maxWorkers
        settings.workers = state.homes.count
        self.init(settings: settings, random: random)
        nextID = state.nextID
        isAnnounced = state.isAnnounced
        wasEverReady = true
        newcomers = state.newcomers
        reader = state.reader
        indices = state.homes.map { IndexRecord(home: $0) }
        for worker in state.workers {
            workers[worker.id] = WorkerRecord(worker)
            slots.setHolder(of: worker.slot, to: .owner(worker.id))
            if worker.isServing { indices[worker.index].worker = worker.id }
        }
        for adoption in state.adoptions {
            slots.setHolder(of: adoption.slot, to: adoption.holder)
        }
    }
}

extension SupervisionState.Worker {
    fileprivate init(_ worker: WorkerRecord) {
        self.init(
            id: worker.id,
            index: worker.index,
            slot: worker.slot,
            state: worker.state,
            startedAt: worker.startedAt,
            drainDeadline: worker.state == .draining ? worker.drainDeadline : nil
        )
    }

    /// Whether it is the one of its index, now or soon.
    var isServing: Bool {
        state == .active || state == .starting
    }
}

extension SupervisionState.Adoption {
    fileprivate init?(slot: Int, holder: SlotTable.Holder) {
        switch holder {
        case .nobody, .owner: return nil
        case .adopter(let id): self.init(slot: slot, id: id, isReleasing: false)
        case .releasing(let id): self.init(slot: slot, id: id, isReleasing: true)
        }
    }

    fileprivate var holder: SlotTable.Holder {
        isReleasing ? .releasing(id) : .adopter(id)
    }
}

extension WorkerRecord {
    fileprivate init(_ worker: SupervisionState.Worker) {
        self.init(id: worker.id, index: worker.index, slot: worker.slot, startedAt: worker.startedAt)
        state = worker.state
        wasReady = worker.state != .starting
        drainDeadline = worker.drainDeadline
    }
}
