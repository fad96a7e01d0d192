import ApusHTTP

/// What a supervisor's decisions depend on: its settings, in the units of its engine.
struct SupervisionSettings: Equatable, Sendable {
    /// How many workers serve, at first.
    var workers: Int
    /// How many may serve; there are twice as many slots.
    var maxWorkers: Int
    /// How long a worker's loop may stand still, not counting the time in which it waited for a core.
    var workerTimeout: TimeSpan
    /// How long a worker takes at most to leave, by its own account: its drain and its application's shutdown.
    var leavingTime: TimeSpan
    /// After how many requests a worker is replaced.
    var maxRequests: Int?
    /// How many more than that, at most, by chance: so that workers are not replaced all at once.
    var maxRequestsJitter: Int
    /// After which time a worker is replaced; up to a tenth later, by chance.
    var maxAge: TimeSpan?
    /// From which resident size on a worker is replaced.
    var maxMemory: Int?

    init(_ settings: SupervisorSettings, leavingTime: TimeSpan) {
        maxWorkers = min(max(1, settings.maxWorkers), SupervisorSettings.mostWorkers)
        workers = min(max(1, settings.workers ?? 1), maxWorkers)
        workerTimeout = .seconds(settings.workerTimeout)
        self.leavingTime = leavingTime
        maxRequests = settings.maxRequests
        maxRequestsJitter = max(0, settings.maxRequestsJitter)
        maxAge = settings.maxAge.map { .seconds($0) }
        maxMemory = settings.maxMemory
    }
}
