// Who serves whom: new connections, shared sockets, and the slots that have no worker.
extension Supervision {
    /// The active workers, in the order of their indices.
    var activeWorkers: [WorkerRecord] {
        indices.compactMap { index in
            guard let id = index.worker, let worker = workers[id], worker.state == .active else { return nil }
            return worker
        }
    }

    /// Steers new connections to the active workers. Where there is none they wait where they would have gone.
    mutating func steer() {
        let active = activeWorkers.map(\.slot)
        guard !active.isEmpty, active != newcomers else { return }
        newcomers = active
        act(.steer(newcomers: active))
    }

    /// Keeps one active worker at the shared UDP sockets; where there is none, one that drains.
    mutating func chooseReader() {
        guard !isActive(reader), let next = activeWorkers.first?.id ?? drainingReader, next != reader else { return }
        if let reader { act(.reader(id: reader, isReader: false)) }
        reader = next
        act(.reader(id: next, isReader: true))
    }

    /// Who drains and reads already, or could.
    private var drainingReader: Int? {
        let draining = workers.values.filter { $0.state == .draining && $0.wasReady }.map(\.id)
        return draining.first { $0 == reader } ?? draining.min()
    }

    /// Has every slot that is without a worker read by an active one: that of the partner slot, or whoever has least.
    mutating func shareSlots() {
        let active = activeWorkers
        guard !active.isEmpty else { return }
        for slot in slots.holders.indices {
            switch slots.holders[slot] {
            case .owner, .releasing: break
            case .nobody: adopt(slot, active)
            case .adopter(let id):
                // Handed over by way of `nobody`, so that there are never two.
                let isFitting = partnerWorker(of: slot).map { $0 == id } ?? isActive(id)
                if !isFitting { _ = clear(slot) }
            }
        }
    }

    private mutating func adopt(_ slot: Int, _ active: [WorkerRecord]) {
        let least = active.min { slots.adopted(by: $0.id) < slots.adopted(by: $1.id) }
        guard let adopter = partnerWorker(of: slot) ?? least?.id else { return }
        slots.setHolder(of: slot, to: .adopter(adopter))
        act(.adopt(slot: slot, by: adopter))
    }

    /// The active worker of the same index.
    private func partnerWorker(of slot: Int) -> Int? {
        let owner = slots.owner(of: slots.partner(of: slot))
        return isActive(owner) ? owner : nil
    }
}
