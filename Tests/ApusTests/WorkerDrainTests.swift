import Apus
import ApusGateway
import Foundation
import Testing

@Suite("The end of one worker among others", .timeLimit(.minutes(5)))
struct WorkerDrainTests {
    /// Answers `/slow` when the gate opens, anything else at once, with the name of the worker.
    private struct Slow: Sendable {
        let name: String
        let entered = Counter()
        let gate = Gate()

        var application: TestApplication {
            { [self] scope, receive, send in
                switch scope {
                case .webSocket(let opening):
                    _ = try await receive()
                    if opening.path == "/slow" {
                        entered.add()
                        await gate.wait()
                    }
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

    @Test func `who is sent to a worker that only waits for its application's end is left to others`() async throws {
        let gate = Gate()
        let ending = Counter()
        try await withWorkers(slotCount: 2) { workers in
            let leaving = try await workers.start(0, lifespan: true) { scope, receive, send in
                switch scope {
                case .lifespan:
                    _ = try await receive()
                    try await send(.startupComplete)
                    _ = try await receive()
                    ending.add()
                    await gate.wait()
                    try await send(.shutdownComplete)
                case .http:
                    try await send(.responseStart(status: 200))
                    try await send(.responseBody("the application has ended"))
                default: break
                }
            }
            let staying = try await workers.start(1)
            try await workers.steer([1])
            leaving.server.shutdown(reloading: true)
            try await expectEventually { ending.value == 1 }
            // Worker 1 does not know yet what the kernel and worker 0 know.
            staying.server.setNewcomers([0])
            await withCheckedContinuation { continuation in
                staying.server.report { _ in continuation.resume() }
            }
            async let answer = HTTP3TestClient(port: workers.port).get().body
            try await expectEventually { workers.hasForwarded(to: 0) }
            staying.server.setNewcomers([1])
            #expect(try await answer == "slot 1")
            gate.open()
            try await leaving.run.value
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

    @Test func `who opens a WebSocket at a worker that drains comes again`() async throws {
        let old = Slow(name: "old")
        try await withWorkers(slotCount: 2, { $0.tls = nil }) { workers in
            let leaving = try await workers.start(0, application: old.application)
            try await workers.steer([0])
            let undecided = try RawClient(port: workers.port)
            try await undecided.send(WebSocketClient.request("/slow"))
            try await expectEventually { old.entered.value == 1 }
            leaving.server.shutdown(reloading: true)
            // The application has its say all the same, and chooses the subprotocol.
            let late = try await leaving.webSocket()
            #expect(try await late.closeFrame().code == 1012)
            try await late.close(1012)
            old.gate.open()
            #expect(try await undecided.response().status == 101)
            let decided = WebSocketClient(undecided)
            #expect(try await decided.closeFrame().code == 1012)
            try await decided.close(1012)
            try await leaving.run.value
        }
    }

    @Test func `who waits in the queue when a worker has nothing else to do is served before it leaves`() async throws {
        try await withWorkers(slotCount: 2, { $0.tls = nil }) { workers in
            let leaving = try await workers.start(0)
            try await workers.steer([0])
            // The loop is held twice: the second time with the drain behind it, before it looks at its sockets again.
            let (first, second) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
            let held = Counter()
            for semaphore in [first, second] {
                leaving.server.report { _ in
                    held.add()
                    semaphore.wait()
                }
                try await expectEventually { held.value == 1 }
            }
            leaving.server.shutdown(reloading: true)
            first.signal()
            try await expectEventually { held.value == 2 }
            let client = try RawClient(port: workers.port)
            try await client.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n")
            second.signal()
            #expect(try await client.response().body == "slot 0")
            client.finish()
            try await leaving.run.value
        }
    }

    @Test func `nobody new is let in where everybody goes`() async throws {
        let old = Slow(name: "old")
        try await withWorkers(slotCount: 2, { $0.tls = nil }) { workers in
            let leaving = try await workers.start(0, application: old.application)
            try await workers.steer([0])
            let slow = try RawClient(port: workers.port)
            try await slow.send("GET /slow HTTP/1.1\r\nhost: test\r\n\r\n")
            try await expectEventually { old.entered.value == 1 }
            leaving.server.shutdown(reloading: false)
            // It has begun to drain when it says so.
            await withCheckedContinuation { continuation in
                leaving.server.report { _ in continuation.resume() }
            }
            let late = try RawClient(port: workers.port)
            try await late.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n")
            old.gate.open()
            #expect(try await slow.response().body == "old")
            slow.finish()
            try await leaving.run.value
            // Where the socket outlives the server, its next one has the client.
            _ = try await workers.start(0)
            #expect(try await late.response().body == "slot 0")
        }
    }
}
