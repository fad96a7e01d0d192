/// What the command line says about processes: how many workers, when they are replaced, and under whose rights they run.
public struct SupervisorSettings: Sendable, Hashable {
    /// The most workers that a server can be given: each has two slots among the sockets of every place.
    public static let mostWorkers = 64
    /// The least that ``maxMemory`` can be, in bytes. A fresh worker has some 25 MiB.
    public static let leastMaxMemory = 64 << 20

    /// How many workers there are at the start; nil: the server runs in this process, without a supervisor.
    public var workers: Int?
    /// How many there can ever be.
    public var maxWorkers = 1
    /// Seconds that a worker's loop may take for a turn before the worker counts as hung.
    public var workerTimeout = 30.0
    /// Requests after which a worker is replaced; nil for no end.
    public var maxRequests: Int?
    /// Up to so many requests are added to ``maxRequests``, by chance, so that not all workers end at once.
    public var maxRequestsJitter = 0
    /// Seconds after which a worker is replaced; nil for no end.
    public var maxAge: Double?
    /// Resident bytes above which a worker is replaced; nil for no end.
    public var maxMemory: Int?
    /// Whether each worker is bound to a core.
    public var pinsWorkers = false
    /// Where the process id is written.
    public var pidFile: String?
    /// The account that serves, once ports are bound and certificates are read: names or numbers.
    public var user: String?
    public var group: String?
    /// Where `apus status` is answered; nil for the usual place.
    public var statusSocket: StatusSocket = .usual

    /// A place for the socket that `apus status` asks.
    public enum StatusSocket: Sendable, Hashable {
        case none
        case usual
        case path(String)
    }

    public init() {}
}
