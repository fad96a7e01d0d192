import Foundation
import Testing

@testable import ApusCommand

/// What `apus status` is told is JSON, as others read it.
struct StatusReportTests {
    @Test func `a report is one JSON object`() throws {
        let worker = StatusReport.Worker(
            id: 7,
            index: 1,
            slot: 5,
            pid: 4712,
            state: .draining,
            age: 61,
            requests: 1000,
            http1: 1,
            http2: 2,
            http3: 3,
            webSockets: 4,
            memory: 12_345_678
        )
        let report = StatusReport(
            pid: 4711,
            version: "0.1.0",
            started: 1_795_000_000,
            listeners: ["https://127.0.0.1:8443 (HTTP/1.1)", "a \"quoted\\\u{1}\n path of bücher"],
            slots: 8,
            workers: [worker, worker]
        )
        #expect(!report.json.contains("\n"))
        let read = try JSONDecoder().decode(Read.self, from: Data(report.json.utf8))
        #expect(read.listeners == report.listeners)
        #expect(read.pid == 4711 && read.version == "0.1.0" && read.started == 1_795_000_000 && read.slots == 8)
        let expected = Read.Worker(
            id: 7,
            index: 1,
            slot: 5,
            pid: 4712,
            state: "draining",
            age: 61,
            requests: 1000,
            http1: 1,
            http2: 2,
            http3: 3,
            webSockets: 4,
            memory: 12_345_678
        )
        #expect(read.workers == [expected, expected])
    }

    private struct Read: Decodable {
        struct Worker: Decodable, Equatable {
            let id, index, slot, pid: Int
            let state: String
            let age, requests, http1, http2, http3, webSockets, memory: Int
        }

        let pid: Int
        let version: String
        let started: Int
        let listeners: [String]
        let slots: Int
        let workers: [Worker]
    }
}
