import Apus
import Testing

@testable import ApusCommand

/// What a supervisor and a worker tell each other is understood, and nothing else is.
struct ControlMessageTests {
    static let greeting = WorkerGreeting(slot: 6, slotCount: 8, index: 2, id: 17, secrets: [0, 1, 0xAB, 0xFF])

    static let report: WorkerReport = {
        var report = WorkerReport()
        report.requests = 12
        report.http1 = 1
        report.http2 = 2
        report.http3 = 3
        report.webSockets = 4
        report.isDraining = true
        return report
    }()

    static let messages: [(ControlMessage, String)] = [
        (.hello(greeting), "hello 6 8 2 17 0001abff"), (.sockets(slot: 6, encoded: [1, 2]), "sockets 6 0102"),
        (.start, "start"), (.newcomers([4, 1]), "newcomers 4 1"), (.newcomers([]), "newcomers"),
        (.adopt(slot: 3, encoded: []), "adopt 3 "), (.release(slot: 0), "release 0"), (.reader(true), "reader 1"),
        (.drain(isReloading: false), "drain 0"), (.drain(isReloading: true), "drain 1"),
        (.ping(7), "ping 7"), (.ready, "ready"), (.released(slot: 127), "released 127"), (.leaving, "leaving"),
        (.pong(7, report), "pong 7 12 1 2 3 4 1"), (.descriptors, "descriptors"),
    ]

    @Test(arguments: messages)
    func `a message is a line of text, and the line is the message`(message: ControlMessage, line: String) {
        #expect(String(decoding: message.encoded, as: UTF8.self) == line)
        #expect(ControlMessage(encoded: Array(line.utf8)) == message)
    }

    @Test(arguments: [
        "", " ", "begin", "start 1", "start ", "ping", "ping x", "ping -1", "ping +1", "ping 1.5",
        "ping 99999999999999999999", "reader 2", "drain", "release 128", "newcomers 1 128", "newcomers 1  2",
        "sockets 6", "sockets 6 0", "sockets 6 0g", "sockets 6 AB", "sockets x 00", "hello 8 8 2 17 00",
        "hello 6 129 2 17 00", "hello 6 8 64 17 00", "hello 6 8 2 00", "pong 7 12 1 2 3 4", "pong 7 12 1 2 3 4 2",
        "pong 7 12 1 2 3 4 1 5", "READY", "ready\n",
    ])
    func `a line that is no message is refused`(line: String) {
        #expect(ControlMessage(encoded: Array(line.utf8)) == nil)
    }

    @Test func `bytes that are no text are refused`() {
        #expect(ControlMessage(encoded: [0xFF, 0xFE]) == nil)
        #expect(ControlMessage(encoded: Array("ping ".utf8) + [0xD9, 0xA1]) == nil)
    }
}
