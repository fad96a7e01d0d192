import Apus
import ApusGateway
import Foundation
import Synchronization
import Testing

@Suite("Sending from anywhere", .timeLimit(.minutes(5)))
struct SendingTests {
    @Test func `concurrent sends keep the order of their arrival`() async throws {
        let response = try await answer { _, _, send in
            try await send(.responseStart(status: 200))
            await withTaskGroup { group in
                for number in 0..<200 {
                    // On the loop's thread, where tasks begin in the order in which they were made.
                    group.addTask { try? await send(.responseBody(Bytes("\(number),"), more: true)) }
                }
            }
            try await send(.responseBody("end"))
        }
        #expect(response.body == (0..<200).map { "\($0)," }.joined() + "end")
    }

    @Test func `sends that wait for room keep their order`() async throws {
        let piece = 100_000
        let started = Counter()
        try await withServer(application: { scope, _, send in
            guard case .http(let request) = scope, request.path != "/ping" else { return try await pong(send) }
            try await send(.responseStart(status: 200))
            await withTaskGroup { group in
                for number in 0..<100 {
                    group.addTask {
                        started.add()
                        try? await send(.responseBody(filler(piece, UInt8(number)), more: true))
                    }
                }
            }
            try await send(.responseBody(""))
        }) { fixture in
            let client = try fixture.client(receiveBuffer: 16 * 1024)
            try await client.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n")
            #expect(try await settled(fixture) { started.value } == 100)
            let response = try await client.response()
            #expect(response.bytes.count == 100 * piece)
            let isOrdered = (0..<100)
                .allSatisfy { response.bytes[$0 * piece] == $0 && response.bytes[($0 + 1) * piece - 1] == $0 }
            #expect(isOrdered)
        }
    }

    @Test("An application may send from the main actor", arguments: [Configuration.ApplicationExecutor.loop, .global])
    func mainActor(_ executor: Configuration.ApplicationExecutor) async throws {
        let response = try await answer {
            $0.executor = executor
        } by: { _, receive, send in
            let mainSends = { @MainActor @Sendable () async throws -> Void in
                _ = try await receive()
                try await send(.responseStart(status: 200))
                try await send(.responseBody("from main, ", more: true))
            }
            try await mainSends()
            try await Task.detached { try await send(.responseBody("from the pool, ", more: true)) }.value
            try await send(.responseBody("from where it began"))
        }
        #expect(response.body == "from main, from the pool, from where it began")
    }

    @Test func `an application in Swift's pool may block its thread`() async throws {
        let isReleased = Mutex(false)
        try await withServer(
            { $0.executor = .global },
            application: { scope, _, send in
                guard case .http(let request) = scope else { return }
                if request.path == "/block" { while !isReleased.withLock({ $0 }) { usleep(1000) } }
                try await pong(send)
            }
        ) { fixture in
            let blocked = try fixture.client()
            try await blocked.send("GET /block HTTP/1.1\r\nhost: test\r\n\r\n")
            #expect(try await fixture.get().body == "pong")
            isReleased.withLock { $0 = true }
            #expect(try await blocked.response().body == "pong")
        }
    }

    @Test(
        "A sender waits while the client does not read",
        arguments: [Configuration.ApplicationExecutor.loop, .global]
    )
    func backPressure(_ executor: Configuration.ApplicationExecutor) async throws {
        let sent = Counter()
        let piece = filler(64 * 1024)
        try await withServer(
            { $0.executor = executor },
            application: { scope, _, send in
                guard case .http(let request) = scope, request.path != "/ping" else { return try await pong(send) }
                try await send(.responseStart(status: 200))
                for _ in 0..<512 {
                    try await send(.responseBody(piece, more: true))
                    sent.add(piece.count)
                }
                try await send(.responseBody(""))
            }
        ) { fixture in
            let client = try fixture.client(receiveBuffer: 16 * 1024)
            try await client.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n")
            let waiting = try await settled(fixture) { sent.value }
            // What the kernel's buffers hold, and not much more than the high-water mark on top.
            #expect(waiting > 0)
            #expect(waiting < 8 << 20)
            #expect(try await client.response().bytes.count == 512 * piece.count)
        }
    }

    @Test("What an application does not take is not read", arguments: [false, true])
    func inputBackPressure(_ chunked: Bool) async throws {
        let gate = Gate()
        try await withServer(application: { scope, receive, send in
            guard case .http(let request) = scope, request.path != "/ping" else { return try await pong(send) }
            await gate.wait()
            let body = try await receive.body(upTo: 64 << 20)
            try await send(.responseStart(status: 200))
            try await send(.responseBody(Bytes("\(body.count)")))
        }) { fixture in
            let client = try fixture.client()
            let size = 32 << 20
            let framing =
                chunked ? "transfer-encoding: chunked\r\n\r\n\(String(size, radix: 16))" : "content-length: \(size)\r\n"
            try await client.send("POST / HTTP/1.1\r\nhost: test\r\n\(framing)\r\n")
            let bytes = [UInt8](repeating: 7, count: size)
            var taken = 0
            _ = try await settled(fixture) {
                taken += client.sendWithoutWaiting(Array(bytes[taken..<min(size, taken + (1 << 20))]))
                return taken
            }
            #expect(taken < 16 << 20)
            gate.open()
            try await client.send(Array(bytes[taken...]) + (chunked ? Array("\r\n0\r\n\r\n".utf8) : []))
            #expect(try await client.response().body == "\(size)")
        }
    }

    @Test func `a cancelled task can still send, wherever it runs`() async throws {
        let response = try await answer { _, _, send in
            try await send(.responseStart(status: 200))
            let here = Task {
                try await send(.responseBody("here ", more: true))
            }
            here.cancel()
            try await here.value
            let elsewhere = Task { @MainActor in
                try await send(.responseBody("and elsewhere"))
            }
            elsewhere.cancel()
            try await elsewhere.value
        }
        #expect(response.body == "here and elsewhere")
    }

    @Test func `a send that outlives its application ends`() async throws {
        let outcome = Mailbox<String>()
        let piece = filler(4 << 20)
        try await withServer(application: { scope, receive, send in
            guard case .http(let request) = scope, request.path != "/ping" else { return try await pong(send) }
            try await send(.responseStart(status: 200))
            // Immediate: the application returns when the other task waits.
            Task.immediate {
                do {
                    try await send(.responseBody(piece))
                    outcome.put("sent")
                } catch {
                    outcome.put("\(error)")
                }
            }
        }) { fixture in
            let result = try await fixture.curl("--http2-prior-knowledge", "--limit-rate", "100M")
            #expect(result.exitCode == 0)
            #expect(result.bytes.count == piece.count)
            #expect(try await outcome.next() == "sent")
        }
    }

    @Test func `a receive that outlives its application ends`() async throws {
        let outcome = Mailbox<String>()
        try await withServer(application: { _, receive, send in
            try await send(.responseStart(status: 200))
            _ = try await receive()
            // Immediate: the application returns when the other task waits.
            Task.immediate {
                outcome.put((try? await receive()).map { name($0) } ?? "thrown")
            }
            // Returns with the response unfinished.
        }) { fixture in
            let result = try await fixture.curl("--http2-prior-knowledge")
            #expect(result.exitCode == 92)
            #expect(try await outcome.next() == "disconnect")
        }
    }
}

/// The shortest response.
func pong(_ send: Send) async throws {
    try await send(.responseStart(status: 200))
    try await send(.responseBody("pong"))
}
