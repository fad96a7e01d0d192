import Apus
import ApusGateway
import Foundation
import Testing

@Suite("When the client leaves", .timeLimit(.minutes(5)))
struct DisconnectTests {
    /// Tells what befalls it, and stays until it is cancelled.
    private static func witness(_ events: Mailbox<String>) -> TestApplication {
        { _, receive, send in
            while true {
                let event = try await receive()
                events.put(name(event))
                if case .disconnect = event { break }
            }
            do {
                try await send(.responseStart(status: 200))
                events.put("sent")
            } catch {
                events.put(error is ClientDisconnected ? "ClientDisconnected" : "\(error)")
            }
            do {
                try await Task.sleep(for: .seconds(1000))
            } catch {
                events.put("cancelled")
                throw error
            }
        }
    }

    @Test("The application is told, then cancelled", arguments: [0.0, 0.05])
    func toldThenCancelled(_ grace: Double) async throws {
        let events = Mailbox<String>()
        try await withServer({ $0.disconnectGrace = grace }, application: Self.witness(events)) { fixture in
            let client = try fixture.client()
            try await client.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n")
            #expect(try await events.next() == "body 0 last")
            client.breakOff()
            #expect(try await events.next() == "disconnect")
            #expect(try await events.next() == "ClientDisconnected")
            #expect(try await events.next() == "cancelled")
        }
    }

    @Test func `the application is not cancelled within the grace`() async throws {
        let events = Mailbox<String>()
        try await withServer(
            { $0.disconnectGrace = 1000 },
            application: { _, receive, _ in
                _ = try await receive()
                _ = try await receive()
                try await Task.sleep(for: .milliseconds(20))
                events.put("\(Task.isCancelled)")
            }
        ) { fixture in
            let client = try fixture.client()
            try await client.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n")
            client.breakOff()
            #expect(try await events.next() == "false")
        }
    }

    @Test("A task that only sleeps is cancelled", arguments: [0.0, 0.02])
    func sleeping(_ grace: Double) async throws {
        let events = Mailbox<String>()
        try await withServer(
            { $0.disconnectGrace = grace },
            application: { _, _, _ in
                events.put("asleep")
                do {
                    try await Task.sleep(for: .seconds(1000))
                } catch {
                    events.put("cancelled")
                }
            }
        ) { fixture in
            let client = try fixture.client()
            try await client.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n")
            #expect(try await events.next() == "asleep")
            client.finish()
            #expect(try await events.next() == "cancelled")
        }
    }

    @Test func `an HTTP/2 client that leaves is its streams' disconnect`() async throws {
        let events = Mailbox<String>()
        try await withServer(application: Self.witness(events)) { fixture in
            let curl = curlProcess(["--http2-prior-knowledge", "http://127.0.0.1:\(fixture.port)/"])
            try curl.run()
            #expect(try await events.next() == "body 0 last")
            kill(curl.processIdentifier, SIGKILL)
            #expect(try await events.next() == "disconnect")
            #expect(try await events.next() == "ClientDisconnected")
            #expect(try await events.next() == "cancelled")
        }
    }

    @Test func `a send that waits for room ends when the client leaves`() async throws {
        let outcome = Mailbox<String>()
        let sent = Counter()
        try await withServer(application: { scope, _, send in
            guard case .http(let request) = scope, request.path != "/ping" else { return try await pong(send) }
            do {
                try await send(.responseStart(status: 200))
                while true {
                    try await send(.responseBody(filler(1 << 20), more: true))
                    sent.add()
                }
            } catch {
                outcome.put(error is ClientDisconnected ? "ClientDisconnected" : "\(error)")
            }
        }) { fixture in
            let client = try fixture.client(receiveBuffer: 16 * 1024)
            try await client.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n")
            _ = try await settled(fixture) { sent.value }
            client.breakOff()
            #expect(try await outcome.next() == "ClientDisconnected")
        }
    }

    @Test func `a task that goes on after its response is left alone`() async throws {
        let events = Mailbox<String>()
        let gate = Gate()
        try await withServer(application: { _, _, send in
            try await pong(send)
            await gate.wait()
            events.put("\(Task.isCancelled)")
        }) { fixture in
            let client = try fixture.client()
            try await client.send("GET / HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n")
            #expect(try await client.response().body == "pong")
            client.finish()
            _ = try await client.rest()
            _ = try await fixture.get("/", headers: "connection: close\r\n")
            gate.open()
            #expect(try await events.next() == "false")
        }
    }

    @Test func `an application that never returns holds up nobody else`() async throws {
        let gate = Gate()
        try await withServer(application: { scope, _, send in
            guard case .http(let request) = scope else { return }
            if request.path == "/never" { await gate.wait() }
            try await pong(send)
        }) { fixture in
            let stuck = try fixture.client()
            try await stuck.send("GET /never HTTP/1.1\r\nhost: test\r\n\r\n")
            for _ in 0..<20 { #expect(try await fixture.get().body == "pong") }
            gate.open()
            #expect(try await stuck.response().body == "pong")
        }
    }

    // MARK: Nothing is kept

    @Test("A connection is freed when it ends", arguments: ["--http1.1", "--http2-prior-knowledge"])
    func freed(_ version: String) async throws {
        let connection = WeakBox<ConnectionInfo>()
        try await withServer(application: { scope, receive, send in
            guard case .http(let request) = scope else { return }
            connection.set(request.connection)
            try await echo(scope, receive, send)
        }) { fixture in
            #expect(try await fixture.curl(version, "-d", "body").text == "body")
            try await expectEventually { connection.isEmpty }
        }
    }

    @Test("A TLS connection is freed that breaks off within a response", arguments: ["--http1.1", "--http2"])
    func freedWithinResponse(_ version: String) async throws {
        let connection = WeakBox<ConnectionInfo>()
        let sent = Counter()
        try await withServer(
            {
                $0.tls = try? TestCertificate.shared()
                $0.insecureBinds = [.address(host: "127.0.0.1", port: 0)]
            },
            application: { scope, receive, send in
                guard case .http(let request) = scope, request.path != "/ping" else { return try await pong(send) }
                connection.set(request.connection)
                try await send(.responseStart(status: 200))
                while true {
                    try await send(.responseBody(filler(64 * 1024), more: true))
                    sent.add()
                }
            }
        ) { fixture in
            let plain = ServerFixture(
                server: fixture.server,
                listeners: fixture.listeners.filter { !$0.isSecure },
                run: fixture.run,
                log: fixture.log
            )
            let curl = curlProcess([version, "--limit-rate", "1000", "https://127.0.0.1:\(fixture.port)/"])
            try curl.run()
            try await expectEventually { sent.value > 0 }
            _ = try await settled(plain) { sent.value }
            // What curl has not read is answered with a reset, while records wait here.
            kill(curl.processIdentifier, SIGKILL)
            try await expectEventually { connection.isEmpty }
        }
    }

    @Test func `a cancelled application frees its connection after the server has ended`() async throws {
        let connection = WeakBox<ConnectionInfo>()
        let asleep = Gate()
        let returned = Gate()
        let fixture = try await startServer {
            $0.gracefulTimeout = 1000
        } application: { scope, _, _ in
            guard case .http(let request) = scope else { return }
            connection.set(request.connection)
            asleep.open()
            do {
                try await Task.sleep(for: .seconds(1000))
            } catch {
                await returned.wait()
            }
        }
        let client = try fixture.client()
        try await client.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n")
        await asleep.wait()
        fixture.server.shutdown()
        fixture.server.shutdown()
        try await fixture.run.value
        #expect(!connection.isEmpty)
        returned.open()
        try await expectEventually { connection.isEmpty }
    }
}
