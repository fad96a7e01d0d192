import Logging
import Testing

@testable import ApusCommand

struct StandardErrorLogTests {
    private func line(_ handler: StandardErrorLog, _ metadata: Logger.Metadata? = nil) -> String {
        let event = LogEvent(
            level: .warning,
            message: "message",
            metadata: metadata,
            source: nil,
            file: "",
            function: "",
            line: 0
        )
        return handler.line(for: event, at: "now")
    }

    @Test func `a line has the time, the level, the label and the message`() {
        #expect(line(StandardErrorLog(label: "apus", level: .info)) == "now warning apus: message")
    }

    @Test func `metadata is sorted, and that of the event goes before that of the logger`() {
        var handler = StandardErrorLog(label: "apus", level: .info)
        handler[metadataKey: "b"] = "1"
        handler[metadataKey: "a"] = "1"
        #expect(line(handler, ["b": "2"]) == "now warning apus: message a=1 b=2")
    }

    @Test func `the time is that of UTC, with milliseconds`() {
        let time = LogClock().text()
        let shape = String(time.map { $0.isNumber ? "0" : $0 })
        #expect(shape == "0000-00-00T00:00:00.000Z")
    }

    @Test func `a level that is not asked for is not logged`() {
        let logger = Logger(label: "apus") { StandardErrorLog(label: $0, level: .warning) }
        #expect(logger.logLevel == .warning)
    }
}
