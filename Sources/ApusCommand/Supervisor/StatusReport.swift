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
        Self.object([
            ("pid", "\(pid)"), ("version", Self.string(version)), ("started", "\(started)"),
            ("listeners", Self.array(listeners.map(Self.string))), ("slots", "\(slots)"),
            ("workers", Self.array(workers.map(Self.json(of:)))),
        ])
    }

    private static func json(of worker: Worker) -> String {
        object([
            ("id", "\(worker.id)"), ("index", "\(worker.index)"), ("slot", "\(worker.slot)"), ("pid", "\(worker.pid)"),
            ("state", string(worker.state.rawValue)), ("age", "\(worker.age)"), ("requests", "\(worker.requests)"),
            ("http1", "\(worker.http1)"), ("http2", "\(worker.http2)"), ("http3", "\(worker.http3)"),
            ("webSockets", "\(worker.webSockets)"), ("memory", "\(worker.memory)"),
        ])
    }

    private static func object(_ members: [(name: String, value: String)]) -> String {
        "{" + members.map { "\(string($0.name)):\($0.value)" }.joined(separator: ",") + "}"
    }

    private static func array(_ elements: [String]) -> String {
        "[" + elements.joined(separator: ",") + "]"
    }

    /// RFC 8259 §7: quotation mark, backslash and control characters are escaped.
    private static func string(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\":
                result += "\\"
                result.unicodeScalars.append(scalar)
            case "\u{0}"..."\u{1F}":
                let digits = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default:
                result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}
