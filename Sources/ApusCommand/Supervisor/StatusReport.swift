/// What `apus status` is told: a supervisor, and its workers.
struct StatusReport: Equatable {
    /// A worker at this moment.
    struct Worker: Equatable {
        /// What the supervisor calls the process.
        var id: Int
        /// Which of the workers it is, whatever its generation.
        var index: Int
        var slot: Int
        var pid: Int32
        var state: State
        /// In seconds.
        var age: Int
        /// Since its start.
        var requests = 0
        /// Open connections.
        var http1 = 0
        var http2 = 0
        var http3 = 0
        var webSockets = 0
        /// Resident bytes.
        var memory = 0
    }

    /// What a worker does.
    enum State: String {
        case starting, active, draining, hung
    }

    var pid: Int32
    var version: String
    /// In seconds since 1970.
    var started: Int
    /// As in the banner.
    var listeners: [String]
    /// How many positions there are for workers.
    var slots: Int
    var workers: [Worker]
}

extension StatusReport {
    /// One JSON object (RFC 8259), on one line.
    var json: String {
        JSONValue.object([
            ("pid", .number(Int(pid))), ("version", .string(version)), ("started", .number(started)),
            ("listeners", .array(listeners.map { .string($0) })), ("slots", .number(slots)),
            ("workers", .array(workers.map(\.json))),
        ])
        .text
    }
}

extension StatusReport.Worker {
    fileprivate var json: JSONValue {
        .object([
            ("id", .number(id)), ("index", .number(index)), ("slot", .number(slot)), ("pid", .number(Int(pid))),
            ("state", .string(state.rawValue)), ("age", .number(age)), ("requests", .number(requests)),
            ("http1", .number(http1)), ("http2", .number(http2)), ("http3", .number(http3)),
            ("webSockets", .number(webSockets)), ("memory", .number(memory)),
        ])
    }
}
