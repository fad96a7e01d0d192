import ApusHTTP
import Testing

@testable import ApusCommand

/// Everything at once: deaths, hangs, signals and slow starts by chance, and what must hold at every step.
struct SupervisionRandomTests {
    @Test(arguments: 0..<40)
    func `whatever happens, every slot has one reader at most and new connections have a worker`(
        seed: UInt64
    ) {
        var world = RandomWorld(seed: seed)
        for _ in 0..<2000 {
            world.step()
            guard world.violation == nil else { break }
        }
        world.calmDown()
        world.stop()
        #expect(world.violation == nil, "\(world.trail)")
    }
}

/// Workers as a system has them: each action takes its time, and nothing is told in good order.
private struct RandomWorld {
    /// A worker's process.
    struct Process {
        let slot: Int
        /// What it reads for others, by its own account.
        var adopted: Set<Int> = []
        var isReady = false
        var isHanging = false
        var isDraining = false
        var isKilled = false
        /// What it has been asked to stop reading.
        var releasing: [Int] = []
        /// Pings that it has not answered.
        var pings: [Int] = []
    }

    private var supervision: Supervision
    private let settings: SupervisionSettings
    private var random: SeededGenerator
    private var now = Instant(nanoseconds: 1_000_000_000)
    private var processes: [Int: Process] = [:]
    private var newcomers: [Int] = []
    private var readers: Set<Int> = []
    private var isCalm = false
    private var exitCode: Int32?
    private var isChecking = false
    private(set) var violation: String?
    /// The last steps, for whoever looks for the reason.
    private var steps: [(at: Instant, what: Any)] = []

    init(seed: UInt64) {
        random = SeededGenerator(seed: seed)
        let most = Int.random(in: 1...6, using: &random)
        var settings = SupervisorSettings()
        settings.workers = Int.random(in: 1...most, using: &random)
        settings.maxWorkers = most
        settings.maxRequests = 500
        settings.maxRequestsJitter = 500
        settings.maxAge = 300
        settings.maxMemory = 1000
        self.settings = SupervisionSettings(settings, leavingTime: .seconds(20))
        supervision = Supervision(settings: self.settings, random: random)
        feed(.start)
        // Somebody has to be ready once, or the supervisor rightly gives up.
        while processes.isEmpty { pass(.seconds(1)) }
        if let first = processes.keys.min() { ready(first) }
    }

    var trail: String {
        steps.suffix(40).map { "\($0.at.nanoseconds / 1_000_000) \($0.what)" }.joined(separator: "\n")
    }

    // MARK: - Steps

    mutating func step() {
        if Int.random(in: 0..<3, using: &random) == 0 {
            pass(.milliseconds(UInt64.random(in: 1...3000, using: &random)))
        }
        switch Int.random(in: 0..<100, using: &random) {
        case 0: feed(.reload)
        case 1: feed(.more)
        case 2: feed(.fewer)
        case 3: feed(.upgradeRequested)
        case 4: if isChecking { check() }
        case 5...7: withWorker { $0.die($1) }
        case 8: withWorker { $0.processes[$1]?.isHanging = true }
        case 9: withWorker { if $0.processes[$1]?.isReady == true { $0.feed(.workerLeaving(id: $1)) } }
        case 10: now = now + .seconds(Double.random(in: 0...60, using: &random))
        case 11...30: withWorker { $0.ready($1) }
        case 31...60: withWorker { $0.acknowledge($1) }
        case 61...90: withWorker { $0.answer($1) }
        default: withWorker { if $0.processes[$1]?.isDraining == true { $0.die($1) } }
        }
    }

    private mutating func withWorker(_ body: (inout RandomWorld, Int) -> Void) {
        guard let id = processes.keys.sorted().randomElement(using: &random) else { return }
        body(&self, id)
    }

    private mutating func ready(_ id: Int) {
        guard let process = processes[id], !process.isReady, !process.isKilled, !process.isHanging else { return }
        processes[id]?.isReady = true
        feed(.workerReady(id: id))
    }

    private mutating func die(_ id: Int) {
        guard let process = processes.removeValue(forKey: id) else { return }
        readers.remove(id)
        let isPolite = process.isDraining && !process.isKilled
        feed(.workerExited(id: id, isPolite ? .code(0) : .signal(process.isKilled ? 9 : 11)))
    }

    private mutating func acknowledge(_ id: Int) {
        guard processes[id]?.isHanging == false, let slot = processes[id]?.releasing.popLast() else { return }
        processes[id]?.adopted.remove(slot)
        feed(.released(slot: slot, by: id))
    }

    private mutating func answer(_ id: Int) {
        guard processes[id]?.isHanging == false, let number = processes[id]?.pings.popLast() else { return }
        let requests = Int.random(in: 0...600, using: &random)
        let residentBytes = Int.random(in: 0...1001, using: &random)
        feed(.pong(id: id, number: number, requests: requests, residentBytes: residentBytes))
    }

    /// The check of a new executable ends.
    private mutating func check() {
        isChecking = false
        let isUsable = Bool.random(using: &random)
        feed(.executableChecked(isUsable: isUsable, text: "no"))
    }

    /// Time passes, more or less on time.
    private mutating func pass(_ span: TimeSpan) {
        let end = now + span
        while let due = supervision.deadline, due <= end, violation == nil, exitCode == nil {
            now = max(now, due)
            record("time")
            supervision.handleTimeout(now)
            perform()
            expect((supervision.deadline ?? .distantFuture) > now, "what was due is due again at once")
            if isCalm { answerEverything() }
        }
        now = end
    }

    /// What a healthy system does at once.
    private mutating func answerEverything() {
        for id in processes.keys.sorted() {
            while processes[id]?.isHanging == false, processes[id]?.pings.isEmpty == false { answer(id) }
            while processes[id]?.isHanging == false, processes[id]?.releasing.isEmpty == false { acknowledge(id) }
            ready(id)
            if processes[id]?.isKilled == true || processes[id]?.isDraining == true { die(id) }
        }
        if isChecking { check() }
    }

    // MARK: - Ends

    /// No more misfortune: in the end every index is served, and every slot read.
    mutating func calmDown() {
        guard exitCode == nil, violation == nil else { return }
        isCalm = true
        // Longer than a start that hangs may take.
        for _ in 0..<400 {
            answerEverything()
            pass(.seconds(1))
        }
        let active = supervision.workers.values.filter { $0.state == .active }
        expect(active.count == supervision.indices.count, "not every index is served")
        expect(supervision.indices.count == supervision.wantedCount, "there are not as many as wanted")
        expect(Set(newcomers) == Set(active.map(\.slot)), "new connections do not go to all who serve")
        expect(supervision.slots.holders.allSatisfy { $0 != .nobody }, "a slot is not read")
        expect(supervision.isAnnounced, "nobody was told that it is ready")
    }

    /// After a stop it ends within its bound, whoever drains, dies or hangs.
    mutating func stop() {
        guard exitCode == nil, violation == nil else { return }
        isCalm = false
        if Bool.random(using: &random) {
            for _ in 0..<20 { step() }
        }
        guard exitCode == nil, violation == nil else { return }
        feed(.stop(signal: 15))
        let bound = now + settings.leavingTime + Supervision.drainMargin + .seconds(1)
        while exitCode == nil, violation == nil {
            pass(.milliseconds(500))
            for id in processes.keys.sorted() where processes[id]?.isKilled == true { die(id) }
            if Int.random(in: 0..<20, using: &random) == 0 { withWorker { $0.die($1) } }
            expect(now < bound, "the stop takes too long")
        }
        let code = exitCode ?? -1
        expect(code == 0 || code == 1, "the code is \(code)")
        expect(processes.isEmpty, "a worker was left behind")
    }

    // MARK: - The system

    private mutating func feed(_ event: SupervisionEvent) {
        record(event)
        supervision.handle(event, now: now)
        perform()
    }

    private mutating func perform() {
        while let action = supervision.nextAction() {
            record(action)
            expect(exitCode == nil, "something follows the end")
            perform(action)
        }
        check(now)
    }

    private mutating func perform(_ action: SupervisionAction) {
        switch action {
        case .spawn(let id, _, let slot):
            expect(!processes.values.contains { $0.slot == slot || $0.adopted.contains(slot) }, "two read slot \(slot)")
            guard Int.random(in: 0..<20, using: &random) > 0 else {
                return supervision.handle(.spawnFailed(id: id, reason: "by chance"), now: now)
            }
            processes[id] = Process(slot: slot)
        case .adopt(let slot, let id):
            expect(!processes.values.contains { $0.slot == slot || $0.adopted.contains(slot) }, "two read slot \(slot)")
            expect(processes[id]?.isReady == true, "somebody adopts who is not ready")
            processes[id]?.adopted.insert(slot)
        case .release(let slot, let id):
            expect(processes[id]?.adopted.contains(slot) == true, "a slot is released by somebody else")
            processes[id]?.releasing.append(slot)
        case .drain(let id, _):
            // None, where it could not even be spawned.
            expect(processes[id]?.isDraining != true, "a worker is told twice to drain")
            processes[id]?.isDraining = true
        case .kill(let id): processes[id]?.isKilled = true
        case .steer(let slots): newcomers = slots
        case .reader(let id, let isReader):
            if isReader { readers.insert(id) } else { readers.remove(id) }
        case .ping(let id, let number): processes[id]?.pings.append(number)
        case .examine(let id):
            // All that its socket holds was handed over: nothing, by then.
            supervision.handle(.examined(id: id, runDelay: TimeSpan(nanoseconds: 0)), now: now)
        case .checkExecutable(let state):
            isChecking = true
            expect(SupervisionState(encoded: state.encoded) == state, "the check cannot read the state")
        case .replaceImage(let state): replaceImage(state)
        case .exit(let code): exitCode = code
        case .log, .ready, .reloading, .reloaded, .stopping: break
        }
    }

    /// Another executable goes on, or nothing has happened.
    private mutating func replaceImage(_ state: SupervisionState) {
        expect(supervision.batch == nil, "a batch is lost with the executable")
        guard Bool.random(using: &random) else {
            return supervision.handle(.imageNotReplaced(reason: "no"), now: now)
        }
        let read = SupervisionState(encoded: state.encoded)
        expect(read == state, "the state is not what was written")
        guard let read else { return }
        supervision = Supervision(restoring: read, settings: settings, random: random)
        expect(supervision.state == state, "the state is not what was handed over")
        isChecking = false
        for id in processes.keys { processes[id]?.pings = [] }
        record("another executable")
        supervision.handle(.start, now: now)
    }

    // MARK: - What must hold

    private mutating func check(_ now: Instant) {
        let records = supervision.workers
        expect(Set(records.keys) == Set(processes.keys), "workers are forgotten, or imagined")
        let slots = records.values.map(\.slot)
        expect(Set(slots).count == slots.count, "two workers share a slot")
        expect((1...settings.maxWorkers).contains(supervision.indices.count), "too many indices, or none")
        expect(readers.count <= 1, "two read the shared sockets")
        let active = supervision.activeWorkers
        expect(active.allSatisfy { processes[$0.id]?.isKilled == false }, "somebody serves who was killed")
        guard exitCode == nil, supervision.ending == nil else { return }
        if !active.isEmpty {
            let steered = newcomers
            expect(steered == active.map(\.slot), "new connections go to \(steered)")
            expect(readers.count == 1 && active.contains { readers.contains($0.id) }, "nobody who serves reads")
            for (slot, holder) in supervision.slots.holders.enumerated() {
                expect(holder != .nobody, "slot \(slot) is not read")
            }
        }
        for (position, index) in supervision.indices.enumerated() where index.worker == nil {
            let isPending = (index.successorDue ?? now) > now || supervision.slots.isOwned(index.home)
            let isClearing = [index.home, supervision.slots.partner(of: index.home)]
                .contains { slot in
                    if case .releasing = supervision.slots.holders[slot] { true } else { false }
                }
            let isReserved = supervision.batch?.reserves(index.home) == true
            expect(isPending || isClearing || isReserved, "index \(position) has no successor")
        }
    }

    private mutating func record(_ what: Any) {
        steps.append((now, what))
        if steps.count > 400 { steps.removeFirst(200) }
    }

    private mutating func expect(_ holds: Bool, _ otherwise: @autoclosure () -> String) {
        guard !holds, violation == nil else { return }
        violation = otherwise()
        record("VIOLATION \(otherwise())")
    }
}
