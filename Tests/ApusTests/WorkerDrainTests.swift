import Apus
import ApusGateway
import Foundation
import Testing

@Suite("The end of one worker among others", .timeLimit(.minutes(2)))
struct WorkerDrainTests {
    /// Answers `/slow` when the gate opens, anything else at once, with the name of the worker.
    private struct Slow: Sendable {
        let name: String
        let entered = Counter()
        let gate = Gate()

        var application: TestApplication {
            { [self] scope, receive, send in
                switch scope {
                case .webSocket:
                    _ = try await receive()
                    try await send(.webSocketAccept())
                    while case .webSocketReceive = try await receive() {}
                case .http(let request):
                    if request.path == "/slow" {
                        entered.add()
                        await gate.wait()
                    }
                    try await send(.responseStart(status: 200))
                    try await send(.responseBody(Bytes(name)))
                default: break
                }
            }
        }
    }

    @Test func `a worker that drains finishes its requests while another serves what is new`() async throws {
        let old = Slow(name: "old")
        let new = Slow(name: "new")
        try await withWorkers(slotCount: 2) { workers in
            let leaving = try await workers.start(0, application: old.application)
            try await workers.steer([0])
            async let one = ask(workers.port, "--http1.1", path: "/slow")
            async let two = ask(workers.port, "--http2", path: "/slow")
            let client = try HTTP3TestClient(port: workers.port)
            async let three = client.get("/slow")
            try await expectEventually { old.entered.value == 3 }

            _ = try await workers.start(1, application: new.application)
            try await workers.steer([1])
            leaving.server.shutdown(reloading: true)
            for _ in 0..<5 {
                #expect(try await ask(workers.port) == "new")
                #expect(try await HTTP3TestClient(port: workers.port).get().body == "new")
            }
            old.gate.open()
            #expect(try await one == "old")
            #expect(try await two == "old")
            #expect(try await three.body == "old")
            #expect(client.wasToldToGo)
            client.close()
            try await leaving.run.value
            // Its sockets are still there.
            for _ in 0..<5 { #expect(try await ask(workers.port) == "new") }
        }
    }

    @Test func `who lands in the slot of a worker that drains is served, and told that this was the last`() async throws
    {
        let old = Slow(name: "old")
        try await withWorkers(slotCount: 2, { $0.tls = nil }) { workers in
            let leaving = try await workers.start(0, application: old.application)
            try await workers.steer([0])
            let slow = try RawClient(port: workers.port)
            try await slow.send("GET /slow HTTP/1.1\r\nhost: test\r\n\r\n")
            try await expectEventually { old.entered.value == 1 }
            leaving.server.shutdown(reloading: true)
            for _ in 0..<3 {
                let late = try RawClient(port: workers.port)
                try await late.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n")
                let response = try await late.response()
                #expect(response.body == "old")
                #expect(response["connection"] == "close")
            }
            old.gate.open()
            #expect(try await slow.response().body == "old")
            slow.finish()
            try await leaving.run.value
            // Who comes after its end waits for the slot's next worker.
            let next = try RawClient(port: workers.port)
            try await next.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n")
            _ = try await workers.start(0)
            #expect(try await next.response().body == "slot 0")
        }
    }

    @Test func `newcomers over QUIC that reach a worker that drains are served by another`() async throws {
        let old = Slow(name: "old")
        try await withWorkers(slotCount: 2) { workers in
            let leaving = try await workers.start(0, application: old.application)
            try await workers.steer([0])
            let slow = try HTTP3TestClient(port: workers.port)
            async let answer = slow.get("/slow")
            try await expectEventually { old.entered.value == 1 }
            _ = try await workers.start(1)
            try await workers.steer([1])
            leaving.server.shutdown(reloading: true)
            // The kernel still sends them to slot 0.
            try workers.sockets.steer(newcomers: [0], key: workers.secrets.steeringKey, slotCount: 2)
            for _ in 0..<5 {
                #expect(try await HTTP3TestClient(port: workers.port).get().body == "slot 1")
            }
            old.gate.open()
            #expect(try await answer.body == "old")
            slow.close()
        }
    }

    @Test("WebSockets are told whether to come again", arguments: [true, false])
    func webSockets(_ reloading: Bool) async throws {
        try await withWorkers(slotCount: 2, { $0.tls = nil }) { workers in
            let worker = try await workers.start(0, application: Slow(name: "old").application)
            try await workers.steer([0])
            let client = try await worker.webSocket()
            worker.server.shutdown(reloading: reloading)
            // A further one is no second shutdown, which would end everything at once.
            worker.server.shutdown(reloading: false)
            #expect(try await client.closeFrame().code == (reloading ? 1012 : 1001))
        }
    }
}
