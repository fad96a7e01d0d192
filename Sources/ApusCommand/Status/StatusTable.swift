/// What a server says of itself, for people to read.
struct StatusTable {
    /// A line about the server, one for each place where it listens, and the table of its workers.
    let lines: [String]

    private static let header = [
        "WORKER", "SLOT", "PID", "STATE", "AGE", "REQUESTS", "HTTP/1", "HTTP/2", "HTTP/3", "WEBSOCKETS", "MEMORY",
    ]
    /// The columns that begin at the left.
    private static let texts: Set<Int> = [3]

    /// Nil for what is no report.
    init?(_ report: JSONValue) {
        guard let pid = report.number("pid"), let version = report.string("version"),
            case .array(let workers)? = report["workers"], case .array(let listeners)? = report["listeners"]
        else { return nil }
        var rows = [Self.header]
        for worker in workers {
            guard let row = Self.row(worker) else { return nil }
            rows.append(row)
        }
        let count = workers.count == 1 ? "1 worker" : "\(workers.count) workers"
        var lines = ["Apus \(version), process \(pid), \(count)"]
        for case .string(let listener) in listeners { lines.append("listening on \(listener.printable)") }
        self.lines = lines + Self.aligned(rows)
    }

    private static func row(_ worker: JSONValue) -> [String]? {
        guard let state = worker.string("state"), let age = worker.number("age"),
            let memory = worker.number("memory")
        else { return nil }
        var numbers: [String] = []
        for name in ["index", "slot", "pid", "requests", "http1", "http2", "http3", "webSockets"] {
            guard let number = worker.number(name) else { return nil }
            numbers.append(String(number))
        }
        return numbers[..<3] + [state, time(age)] + numbers[3...] + [mebibytes(memory)]
    }

    /// The two largest units.
    static func time(_ seconds: Int) -> String {
        switch seconds {
        case ..<60: "\(max(0, seconds)) s"
        case ..<3600: "\(seconds / 60) min \(seconds % 60) s"
        case ..<86_400: "\(seconds / 3600) h \(seconds / 60 % 60) min"
        default: "\(seconds / 86_400) d \(seconds / 3600 % 24) h"
        }
    }

    /// With one digit behind the point, rounded down.
    static func mebibytes(_ bytes: Int) -> String {
        let bytes = max(0, bytes)
        return "\(bytes >> 20).\(((bytes & 0xF_FFFF) * 10) >> 20) MiB"
    }

    private static func aligned(_ rows: [[String]]) -> [String] {
        let widths = header.indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        return rows.map { row in
            let cells = zip(row, widths).enumerated()
                .map { column, cell in
                    let padding = String(repeating: " ", count: cell.1 - cell.0.count)
                    return texts.contains(column) ? cell.0 + padding : padding + cell.0
                }
            return cells.joined(separator: "  ")
        }
    }
}

extension JSONValue {
    fileprivate func number(_ name: String) -> Int? {
        if case .number(let number)? = self[name] { number } else { nil }
    }

    fileprivate func string(_ name: String) -> String? {
        if case .string(let text)? = self[name] { text.printable } else { nil }
    }
}

extension String {
    /// Without control characters, which a terminal would obey.
    fileprivate var printable: String {
        String(String.UnicodeScalarView(unicodeScalars.filter { $0.properties.generalCategory != .control }))
    }
}
