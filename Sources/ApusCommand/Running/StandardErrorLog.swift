import Glibc
import Logging
import Synchronization

/// Log lines on standard error: `2026-01-31T12:00:00.000Z info apus: message key=value`.
struct StandardErrorLog: LogHandler {
    var logLevel: Logger.Level
    var metadata: Logger.Metadata = [:]
    var metadataProvider: Logger.MetadataProvider?
    private let label: String
    private let clock: LogClock

    init(label: String, level: Logger.Level) {
        self.label = label
        logLevel = level
        clock = LogClock()
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        StandardError.writeLine(line(for: event, at: clock.text()))
    }

    /// What is written for an event; built by appending, since each request has one.
    func line(for event: LogEvent, at time: String) -> String {
        var line = time
        line += " "
        line += event.level.rawValue
        line += " "
        line += label
        line += ": "
        line += event.message.description
        if let error = event.error { line += ": \(error)" }
        for (key, value) in fields(of: event) {
            line += " \(key)=\(value)"
        }
        return line
    }

    private func fields(of event: LogEvent) -> [(String, Logger.Metadata.Value)] {
        var all = metadata
        if let provided = metadataProvider?.get() { all.merge(provided) { _, new in new } }
        if let own = event.metadata { all.merge(own) { _, new in new } }
        return all.isEmpty ? [] : all.sorted { $0.key < $1.key }
    }
}

/// Writes the time of now; what is the same within a second is made once a second.
final class LogClock: Sendable {
    private let cached = Mutex<(seconds: Int, text: String)>((.min, ""))

    /// UTC with milliseconds, as ISO 8601.
    func text() -> String {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        let milliseconds = String(now.tv_nsec / 1_000_000)
        let padding = String(repeating: "0", count: 3 - milliseconds.count)
        return upToSeconds(now.tv_sec) + padding + milliseconds + "Z"
    }

    private func upToSeconds(_ seconds: Int) -> String {
        cached.withLock { cached in
            if cached.seconds != seconds { cached = (seconds, Self.format(seconds)) }
            return cached.text
        }
    }

    private static func format(_ seconds: Int) -> String {
        var seconds = seconds
        var parts = tm()
        gmtime_r(&seconds, &parts)
        return withUnsafeTemporaryAllocation(of: CChar.self, capacity: 32) { room in
            // A result that does not fit, of a year with very many digits, is nothing.
            let count = strftime(room.baseAddress, room.count, "%Y-%m-%dT%H:%M:%S.", &parts)
            return String(decoding: room[..<count].lazy.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        }
    }
}
