import Apus
import ApusGateway
import Foundation
import Testing

@Suite("Workers with slots", .timeLimit(.minutes(5)))
struct WorkersTests {
    @Test func `what is new goes to the newcomers' slots, and connections stay where they are`() async throws {
        try await withWorkers(slotCount: 4) { workers in
            _ = try await workers.start(1)
            _ = try await workers.start(2)
            var clients: [(HTTP3TestClient, String)] = []
            for slot in [1, 2, 1] {
                try await workers.steer([slot])
                for _ in 0..<4 {
                    #expect(try await ask(workers.port, "--http1.1") == "slot \(slot)")
                    #expect(try await ask(workers.port, "--http2") == "slot \(slot)")
                    let client = try HTTP3TestClient(port: workers.port)
                    #expect(try await client.get().body == "slot \(slot)")
                    clients.append((client, "slot \(slot)"))
                }
            }
            for (client, slot) in clients {
                try client.changePort()
                #expect(try await client.get().body == slot)
            }
            try await workers.steer([1, 2])
            var seen: Set<String> = []
            for _ in 0..<100 where seen.count < 2 {
                let client = try HTTP3TestClient(port: workers.port)
                seen.insert(try await client.get().body)
            }
            #expect(seen == ["slot 1", "slot 2"])
        }
    }

    @Test func `a datagram that reaches another worker is forwarded to the one whose it is`() async throws {
        try await withWorkers(slotCount: 2) { workers in
            _ = try await workers.start(0)
            _ = try await workers.start(1)
            try await workers.steer([1])
            let client = try HTTP3TestClient(port: workers.port)
            #expect(try await client.get().body == "slot 1")
            // From here on everything lands in slot 0, whatever its connection ID says.
            try workers.sockets.steer(newcomers: [0], key: 1, slotCount: 1)
            for _ in 0..<20 {
                try client.changePort()
                #expect(try await client.get().body == "slot 1")
            }
            // A newcomer is forwarded likewise, for the workers have been told that they are slot 1's.
            let newcomer = try HTTP3TestClient(port: workers.port)
            #expect(try await newcomer.get().body == "slot 1")
        }
    }

    @Test func `a slot without a worker is read by the one that has adopted it`() async throws {
        try await withWorkers(slotCount: 2) { workers in
            let survivor = try await workers.start(0)
            let other = try await workers.start(1)
            try await workers.steer([1])
            let client = try HTTP3TestClient(port: workers.port)
            #expect(try await client.get().body == "slot 1")
            // What the worker says of its end goes to a port that nobody has any more: as if it had said nothing.
            try client.changePort()
            await workers.end(other)
            // A client that the kernel has let into the queue of the slot.
            async let waiting = ask(workers.port)
            async let newcomer = HTTP3TestClient(port: workers.port).get().body
            try await workers.steer([0])
            try workers.adopt(1, by: survivor)
            #expect(try await waiting == "slot 0")
            #expect(try await newcomer == "slot 0")
            try await client.waitForReset()
        }
    }

    @Test func `who has adopted a slot answers for what others forward to it`() async throws {
        try await withWorkers(slotCount: 3) { workers in
            _ = try await workers.start(0)
            let adopter = try await workers.start(1)
            let other = try await workers.start(2)
            try await workers.steer([2])
            let client = try HTTP3TestClient(port: workers.port)
            #expect(try await client.get().body == "slot 2")
            try client.changePort()
            await workers.end(other)
            try workers.adopt(2, by: adopter)
            try await workers.steer([0, 1])
            // Everything lands in slot 0, whose worker knows that it is slot 2's, and must not answer itself.
            try workers.sockets.steer(newcomers: [0], key: 1, slotCount: 1)
            try await client.waitForReset()
        }
    }

    @Test func `connections that wait in the queue of a slot are served by who adopts it`() async throws {
        try await withWorkers(slotCount: 2, { $0.tls = nil }) { workers in
            let survivor = try await workers.start(0)
            try await workers.steer([1])
            var clients: [RawClient] = []
            for _ in 0..<20 {
                let client = try RawClient(port: workers.port)
                try await client.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n")
                clients.append(client)
            }
            try workers.adopt(1, by: survivor)
            for client in clients { #expect(try await client.response().body == "slot 0") }
        }
    }

    @Test func `a released slot is its next worker's alone`() async throws {
        try await withWorkers(slotCount: 2) { workers in
            let survivor = try await workers.start(0)
            try workers.adopt(1, by: survivor)
            try await workers.steer([1])
            survivor.server.setNewcomers([0])
            #expect(try await ask(workers.port) == "slot 0")
            #expect(try await HTTP3TestClient(port: workers.port).get().body == "slot 0")
            await withCheckedContinuation { continuation in
                survivor.server.release(1) { continuation.resume() }
            }
            // Nobody reads it now: these wait.
            async let waiting = ask(workers.port)
            _ = try await workers.start(1)
            try await workers.steer([1])
            #expect(try await waiting == "slot 1")
            for _ in 0..<5 {
                #expect(try await ask(workers.port) == "slot 1")
                #expect(try await HTTP3TestClient(port: workers.port).get().body == "slot 1")
            }
            // A slot that was not adopted, and the worker's own, are nothing to release.
            await withCheckedContinuation { continuation in
                survivor.server.release(0) { survivor.server.release(1) { continuation.resume() } }
            }
            try await workers.steer([0])
            #expect(try await ask(workers.port) == "slot 0")
        }
    }

    @Test func `slots that are not there change nothing`() async throws {
        try await withWorkers(slotCount: 2) { workers in
            let worker = try await workers.start(0)
            try await workers.steer([0])
            for slots in [[2], [-1], [0, 65_536]] {
                worker.server.setNewcomers(slots)
            }
            for slot in [2, -1] {
                var ends: [Int32] = [-1, -1]
                try #require(pipe(&ends) == 0)
                for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
                let sender = ends[1]
                worker.server.adopt(slot, try workers.socketsOfItsOwn(1), receiver: ends[0])
                // The descriptor was taken over, so that it is closed.
                try await expectEventually {
                    var end = pollfd(fd: sender, events: 0, revents: 0)
                    return poll(&end, 1, 0) == 1 && end.revents & Int16(POLLERR) != 0
                }
                close(sender)
            }
            #expect(try await ask(workers.port) == "slot 0")
            #expect(try await HTTP3TestClient(port: workers.port).get().body == "slot 0")
        }
    }

    @Test func `a release is acknowledged by a worker that has ended, too`() async throws {
        try await withWorkers(slotCount: 2) { workers in
            let worker = try await workers.start(0)
            await workers.end(worker)
            await withCheckedContinuation { continuation in
                worker.server.release(1) { continuation.resume() }
            }
        }
    }

    @Test func `a worker tells what it has and had`() async throws {
        let gate = Gate()
        try await withWorkers(slotCount: 2) { workers in
            let worker = try await workers.start(0) { scope, receive, send in
                switch scope {
                case .webSocket:
                    _ = try await receive()
                    try await send(.webSocketAccept())
                    await gate.wait()
                case .http(let request):
                    if request.path == "/slow" { await gate.wait() }
                    try await pong(send)
                default: break
                }
            }
            try await workers.steer([0])
            func report() async -> WorkerReport {
                await withCheckedContinuation { continuation in
                    worker.server.report { continuation.resume(returning: $0) }
                }
            }
            func eventually(_ condition: (WorkerReport) -> Bool) async throws {
                for _ in 0..<1000 {
                    if condition(await report()) { return }
                    try await Task.sleep(for: .milliseconds(5))
                }
                Issue.record("the report is \(await report())")
            }
            #expect(worker.server.isReady)
            #expect(await report() == WorkerReport())
            #expect(try await ask(workers.port) == "pong")
            #expect(try await HTTP3TestClient(port: workers.port).get().body == "pong")
            async let one = ask(workers.port, "--http1.1", path: "/slow")
            async let two = ask(workers.port, "--http2", path: "/slow")
            let three = try HTTP3TestClient(port: workers.port)
            async let answer = three.get("/slow")
            try await eventually { $0.requests == 5 && $0.http1 == 1 && $0.http2 == 1 && $0.http3 == 1 }
            worker.server.shutdown(reloading: true)
            try await eventually { $0.isDraining }
            #expect(!worker.server.isReady)
            gate.open()
            #expect(try await one == "pong")
            #expect(try await two == "pong")
            #expect(try await answer.body == "pong")
        }
    }
}
