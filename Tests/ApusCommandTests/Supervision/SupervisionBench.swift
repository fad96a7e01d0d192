import ApusHTTP
import Logging

@testable import ApusCommand

/// A supervision with workers that do what a test says, in a time that only the test moves.
///
/// What needs no saying is done at once: pings are answered, releases acknowledged, and what is killed is dead.
struct SupervisionBench {
    var supervision: Supervision
    private(set) var now = Instant(nanoseconds: 1_000_000_000_000)
    /// What was to be done and has not been looked at, without log lines and pings.
    private(set) var actions: [SupervisionAction] = []
    private(set) var logs: [(level: Logger.Level, text: String)] = []

    /// Workers whose loops stand still.
    var hanging: Set<Int> = []
    /// How long the loops' threads have waited for a core; of all workers.
    var runDelay = TimeSpan(nanoseconds: 0)
    /// What workers say of themselves with a pong.
    var requests: [Int: Int] = [:]
    var residentBytes: [Int: Int] = [:]
    /// The pings that wait for their answers.
    private var pings: [Int: Int] = [:]
    /// Whether releases are acknowledged at once.
    var acknowledges = true
    /// Whether the exit of what is killed is seen at once.
    var buries = true

    init(_ supervision: Supervision) {
        self.supervision = supervision
    }

    init(workers: Int, most: Int? = nil, _ adjust: (inout SupervisionSettings) -> Void = { _ in }) {
        var settings = SupervisorSettings()
        settings.workers = workers
        settings.maxWorkers = most ?? workers
        var supervision = SupervisionSettings(settings, leavingTime: .seconds(30))
        adjust(&supervision)
        self.init(Supervision(settings: supervision, random: SeededGenerator(seed: 1)))
    }

    /// A supervision whose first workers serve: the worker of index i is number i + 1, in slot i.
    static func serving(
        workers: Int,
        most: Int? = nil,
        _ adjust: (inout SupervisionSettings) -> Void = { _ in }
    ) -> SupervisionBench {
        var bench = SupervisionBench(workers: workers, most: most, adjust)
        bench.feed(.start)
        for id in 1...workers {
            bench.feed(.workerReady(id: id))
        }
        bench.advance(seconds: 5)
        bench.forget()
        return bench
    }

    // MARK: - What happens

    mutating func feed(_ event: SupervisionEvent) {
        supervision.handle(event, now: now)
        perform()
    }

    mutating func ready(_ ids: Int...) {
        for id in ids { feed(.workerReady(id: id)) }
    }

    mutating func exit(_ id: Int, code: Int32 = 0) {
        feed(.workerExited(id: id, .code(code)))
    }

    mutating func crash(_ id: Int, signal: Int32 = 11) {
        feed(.workerExited(id: id, .signal(signal)))
    }

    /// Lets time pass, on time.
    mutating func advance(seconds: Double) {
        let end = now + .seconds(seconds)
        while let due = supervision.deadline, due <= end {
            now = max(now, due)
            supervision.handleTimeout(now)
            perform()
        }
        now = end
    }

    /// Lets time pass in which the supervisor gets no core.
    mutating func sleep(seconds: Double) {
        now = now + .seconds(seconds)
    }

    /// Goes on where another bench is.
    mutating func continueTime(of other: SupervisionBench) {
        now = other.now
    }

    private mutating func perform() {
        while let action = supervision.nextAction() {
            switch action {
            case .log(let level, let text, _): logs.append((level, text))
            case .ping(let id, let number): answer(id, number)
            case .examine(let id): supervision.handle(.examined(id: id, runDelay: runDelay), now: now)
            default: actions.append(action)
            }
            if case .release(let slot, let id) = action, acknowledges {
                supervision.handle(.released(slot: slot, by: id), now: now)
            }
            if case .kill(let id) = action, buries {
                supervision.handle(.workerExited(id: id, .signal(9)), now: now)
            }
        }
    }

    /// Answers the ping that a worker has left unanswered.
    mutating func answerLate(_ id: Int) {
        guard let number = pings.removeValue(forKey: id) else { return }
        answer(id, number)
        perform()
    }

    private mutating func answer(_ id: Int, _ number: Int) {
        guard !hanging.contains(id) else { return pings[id] = number }
        supervision.handle(
            .pong(id: id, number: number, requests: requests[id] ?? 0, residentBytes: residentBytes[id]),
            now: now
        )
    }

    // MARK: - What came of it

    /// The actions since the last time.
    mutating func take() -> [SupervisionAction] {
        defer { actions = [] }
        return actions
    }

    mutating func forget() {
        actions = []
        logs = []
    }

    /// Those of the actions that some rule is about.
    mutating func take(_ isMeant: (SupervisionAction) -> Bool) -> [SupervisionAction] {
        take().filter(isMeant)
    }

    func logged(_ part: String) -> Bool {
        logs.contains { $0.text.contains(part) }
    }

    func state(_ id: Int) -> WorkerRecord.State? {
        supervision.workers[id]?.state
    }

    /// The reader of each slot.
    var readers: [Int?] {
        supervision.slots.holders.map { holder in
            switch holder {
            case .nobody: nil
            case .owner(let id), .adopter(let id), .releasing(let id): id
            }
        }
    }
}

extension SupervisionAction {
    var isSpawn: Bool { if case .spawn = self { true } else { false } }
    var isSteer: Bool { if case .steer = self { true } else { false } }
    var isReader: Bool { if case .reader = self { true } else { false } }
    var isKill: Bool { if case .kill = self { true } else { false } }
    /// Whether it is about a slot without a worker.
    var isAdoption: Bool {
        switch self {
        case .adopt, .release: true
        default: false
        }
    }
}

/// The same numbers in every run (SplitMix64).
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) {
        state = seed
    }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}

func + (left: TimeSpan, right: TimeSpan) -> TimeSpan {
    TimeSpan(nanoseconds: left.nanoseconds + right.nanoseconds)
}
