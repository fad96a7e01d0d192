import ApusHTTP

/// The decisions of a supervisor: which workers there are, who reads which slot, who gets new connections.
///
/// Sans-I/O: events and the time go in, actions come out; whoever drives it owns the clock, the processes and the sockets.
/// After every ``handle(_:now:)`` and ``handleTimeout(_:)`` all of ``nextAction()`` is carried out, in order.
struct Supervision {
    /// When ``handleTimeout(_:)`` is due; nil where nothing waits for a time.
    private(set) var deadline: Instant?
    /// The slots that new connections go to, one for each active worker.
    private(set) var newcomers: [Int] = []
    /// Every worker that has not exited, by its number.
    private(set) var workers: [Int: WorkerRecord] = [:]

    /// A supervisor that has no workers yet.
    ///
    /// - Parameter random: What jitter is drawn from.
    init(settings: SupervisionSettings, random: any RandomNumberGenerator = SystemRandomNumberGenerator()) {}

    /// A supervisor that continues where another executable has left off: it knows its workers, and replaces them all.
    ///
    /// The slots are those of the state, since the sockets are.
    init(
        restoring state: SupervisionState,
        settings: SupervisionSettings,
        random: any RandomNumberGenerator = SystemRandomNumberGenerator()
    ) {}

    /// Takes in what has happened.
    mutating func handle(_ event: SupervisionEvent, now: Instant) {}

    /// Takes in that ``deadline`` has come.
    mutating func handleTimeout(_ now: Instant) {}

    /// What is to be done next; nil until something else has happened.
    mutating func nextAction() -> SupervisionAction? { nil }
}
