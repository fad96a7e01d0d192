import ApusTransport
import Foundation
import Testing

@testable import ApusCommand

/// What `apus status` makes of what servers say.
@Suite(.timeLimit(.minutes(5)))
struct StatusTests {
    private static let report = """
        {"pid": 10, "version": "0.4", "started": 0, "listeners": ["https://a.test:8443"], "slots": 4, "workers": [\
        {"id": 7, "index": 0, "slot": 2, "pid": 11, "state": "active", "age": 3725, "requests": 1234567, "http1": 1, \
        "http2": 22, "http3": 333, "webSockets": 4, "memory": 32505856}, \
        {"id": 8, "index": 1, "slot": 1, "pid": 123456, "state": "draining", "age": 59, "requests": 0, "http1": 0, \
        "http2": 0, "http3": 0, "webSockets": 0, "memory": 0}]}
        """

    @Test func `a report becomes a table`() throws {
        let table = try #require(JSONParser.parse(Self.report).flatMap { StatusTable($0) })
        #expect(
            table.lines == [
                "Apus 0.4, process 10, 2 workers", "listening on https://a.test:8443",
                "WORKER  SLOT     PID  STATE           AGE  REQUESTS  HTTP/1  HTTP/2  HTTP/3  WEBSOCKETS    MEMORY",
                "     0     2      11  active    1 h 2 min   1234567       1      22     333           4  31.0 MiB",
                "     1     1  123456  draining       59 s         0       0       0       0           0   0.0 MiB",
            ]
        )
    }

    @Test(arguments: [
        "{}", "[]", "null", "{\"pid\": 1, \"version\": \"x\", \"workers\": [], \"listeners\": 1}",
        "{\"pid\": 1, \"version\": \"x\", \"workers\": [{}], \"listeners\": []}",
    ])
    func `what is no report becomes no table`(text: String) throws {
        #expect(StatusTable(try #require(JSONParser.parse(text))) == nil)
    }

    @Test func `what would steer a terminal is left out`() throws {
        let text = #"{"pid": 1, "version": "\u001b[31mx", "workers": [], "listeners": ["a\r\u009bb"]}"#
        let table = try #require(JSONParser.parse(text).flatMap { StatusTable($0) })
        #expect(table.lines[..<2] == ["Apus [31mx, process 1, 0 workers", "listening on ab"])
    }

    @Test(arguments: [
        (-1, "0 s"), (0, "0 s"), (59, "59 s"), (60, "1 min 0 s"), (3599, "59 min 59 s"), (3600, "1 h 0 min"),
        (86_399, "23 h 59 min"), (86_400, "1 d 0 h"), (.max, "106751991167300 d 15 h"),
    ])
    func `a time has its two largest units`(seconds: Int, text: String) {
        #expect(StatusTable.time(seconds) == text)
    }

    @Test(arguments: [
        (-1, "0.0 MiB"), (0, "0.0 MiB"), ((1 << 20) - 1, "0.9 MiB"), (1 << 20, "1.0 MiB"), (3 << 19, "1.5 MiB"),
    ])
    func `memory is rounded down`(bytes: Int, text: String) {
        #expect(StatusTable.mebibytes(bytes) == text)
    }

    // MARK: - Servers

    /// A folder with a server for each answer, asked while they run: all of them, or the one that is named.
    private func ask(
        _ answers: [String?],
        path: String? = nil,
        asJSON: Bool = false
    ) throws -> (outcome: ServerStatus.Outcome, folder: String) {
        var template = Array("/tmp/apus-status-XXXXXX".utf8CString)
        mkdtemp(&template)
        let folder = String(decoding: template.dropLast().lazy.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        var sockets: [BoundSocket] = []
        defer {
            sockets.forEach { $0.close() }
            rmdir(folder)
        }
        for (number, answer) in answers.enumerated() {
            let socket = try BoundSocket.unix(
                .unix(path: "\(folder)/\(number).sock"),
                backlog: 4,
                access: UnixAccess(mode: 0o600)
            )
            sockets.append(socket)
            // Nobody listens any more where a server was killed.
            guard let answer else {
                shutdown(socket.descriptor, Int32(SHUT_RDWR))
                continue
            }
            let listener = socket.descriptor
            Thread.detachNewThread { Self.serve(answer, at: listener) }
        }
        // Without a path the usual places would be looked into too, where somebody may have a server.
        guard let path else { return (ServerStatus.ask(in: [folder], asJSON: asJSON), folder) }
        return (ServerStatus.ask("\(folder)/\(path)", asJSON: asJSON, environment: ApusEnvironment([:])), folder)
    }

    @Test func `every server of the user is asked`() throws {
        let other = Self.report.replacing("\"pid\": 10", with: "\"pid\": 20")
        let (outcome, _) = try ask([Self.report, nil, other + "\n"])
        #expect(outcome.errors.isEmpty && outcome.code == 0)
        #expect(outcome.lines.count == 11)
        #expect(outcome.lines[0].contains("process 10,") && outcome.lines[5].isEmpty)
        #expect(outcome.lines[6].contains("process 20,"))
    }

    @Test func `what they say is given as it is where JSON is asked for`() throws {
        let (outcome, _) = try ask([Self.report + "\n", Self.report], asJSON: true)
        #expect(outcome == ServerStatus.Outcome(lines: [Self.report, Self.report]))
    }

    @Test func `one server is asked where its socket is named`() throws {
        let (outcome, folder) = try ask([Self.report, "{}", nil], path: "0.sock")
        #expect(outcome.lines.count == 5 && outcome.code == 0)
        let environment = ApusEnvironment(["APUS_STATUS_SOCKET": folder + "/none"])
        let missing = ServerStatus.ask(nil, asJSON: false, environment: environment)
        #expect(missing.errors == ["no server answers at '\(folder)/none': No such file or directory"])
        #expect(missing.code == 1)
    }

    @Test func `a socket that is named and on which nobody answers is an error`() throws {
        let (outcome, folder) = try ask([nil], path: "0.sock")
        #expect(outcome.errors == ["no server answers at '\(folder)/0.sock': Connection refused"])
        #expect(outcome.lines.isEmpty && outcome.code == 1)
    }

    @Test(arguments: ["", "{}", "not JSON"])
    func `what is no server is told from one`(answer: String) throws {
        let (outcome, folder) = try ask([answer, Self.report])
        #expect(outcome.errors == ["what answers at '\(folder)/0.sock' is no server, or one of another version"])
        #expect(outcome.lines.count == 5 && outcome.code == 0)
    }

    @Test func `an answer without an end is not read for ever`() throws {
        let (outcome, folder) = try ask([String(repeating: " ", count: 1 << 20 + 1)], path: "0.sock")
        #expect(outcome.errors == ["no server answers at '\(folder)/0.sock': Message too long"])
    }

    @Test func `nobody found is said, with where was looked`() throws {
        let (outcome, folder) = try ask([nil])
        #expect(
            outcome.errors == ["no server with workers was found in \(folder); --status-socket names another place"]
        )
        #expect(outcome.code == 1)
    }

    @Test func `a server is looked for where it may have its socket`() {
        #expect(StatusFolder.all(nil, user: 0) == ["/run/apus"])
        #expect(StatusFolder.all(nil, user: 7) == ["/tmp/apus-7"])
        #expect(StatusFolder.all("", user: 7) == ["/tmp/apus-7"])
        #expect(StatusFolder.all("/run/user/7", user: 7) == ["/run/user/7/apus", "/tmp/apus-7"])
        #expect(StatusFolder.usual("/run/user/7", user: 7) == "/run/user/7/apus")
    }

    /// Answers one who asks.
    private static func serve(_ answer: String, at listener: Int32) {
        var entry = pollfd(fd: listener, events: Int16(POLLIN), revents: 0)
        guard poll(&entry, 1, 10_000) == 1 else { return }
        let client = accept(listener, nil, nil)
        guard client >= 0 else { return }
        var rest = Array(answer.utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { send(client, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            guard count > 0 else { break }
            rest = rest.dropFirst(count)
        }
        close(client)
    }
}
