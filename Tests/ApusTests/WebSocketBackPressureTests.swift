import Apus
import ApusGateway
import ApusHTTP
import ApusTestClients
import Foundation
import Testing

@Suite("Back-pressure on a WebSocket", .timeLimit(.minutes(5)))
struct WebSocketBackPressureTests {
    @Test func `a client that does not read suspends send, until it reads`() async throws {
        let sent = Counter()
        let count = 40
        try await withServer(application: { scope, receive, send in
            guard case .webSocket = scope else { return try await pong(send) }
            try await send(.webSocketAccept())
            for _ in 0..<count {
                try await send(.webSocketSend(.binary(filler(1 << 20))))
                sent.add()
            }
        }) { fixture in
            let client = try await fixture.webSocket(receiveBuffer: 16 * 1024)
            // A neighbour is unharmed: this asks it again and again.
            #expect(try await settled(fixture) { sent.value } < count)
            for _ in 0..<count { #expect(try await client.frame().payload.count == 1 << 20) }
            #expect(try await client.frame().code == 1000)
        }
    }

    @Test func `a send that waits for room ends when the client leaves`() async throws {
        let outcome = Mailbox<String>()
        let sent = Counter()
        try await withServer(application: { scope, _, send in
            guard case .webSocket = scope else { return try await pong(send) }
            do {
                try await send(.webSocketAccept())
                while true {
                    try await send(.webSocketSend(.binary(filler(1 << 20))))
                    sent.add()
                }
            } catch {
                outcome.put(error is ClientDisconnected ? "ClientDisconnected" : "\(error)")
            }
        }) { fixture in
            let client = try await fixture.webSocket(receiveBuffer: 16 * 1024)
            _ = try await settled(fixture) { sent.value }
            client.raw.breakOff()
            #expect(try await outcome.next() == "ClientDisconnected")
        }
    }

    @Test("An application that does not receive stops the client", arguments: [10, 60_000, 900_000])
    func inputIsHeldBack(_ size: Int) async throws {
        let gate = Gate()
        let received = Mailbox<Int>()
        try await withServer(application: { scope, receive, send in
            guard case .webSocket = scope else { return try await pong(send) }
            _ = try await receive()
            try await send(.webSocketAccept())
            await gate.wait()
            var count = 0
            while case .webSocketReceive(.binary(let bytes), more: false) = try await receive() {
                #expect(bytes.count == size)
                count += bytes.count
            }
            received.put(count)
        }) { fixture in
            let client = try await fixture.webSocket()
            let message = WebSocketClient.bytes(WebSocketClient.binary, [UInt8](repeating: 5, count: size))
            let batch = [UInt8]((0..<max(1, 900_000 / size)).map { _ in message }.joined())
            var sent = 0
            var rest = batch[...]
            // Until the kernel takes nothing more while the server answers others: neither reads on.
            _ = try await settled(fixture) {
                while true {
                    let count = client.raw.sendWithoutWaiting(Array(rest))
                    guard count > 0 else { return sent }
                    sent += count
                    rest = rest.dropFirst(count)
                    if rest.isEmpty { rest = batch[...] }
                }
            }
            gate.open()
            try await client.raw.send(Array(rest))
            sent += rest.count
            try await client.close(1000)
            #expect(try await received.next() == sent / message.count * size)
        }
    }

    @Test func `pings that nobody reads the answers of cost a bounded amount, and no neighbour anything`() async throws
    {
        try await withServer(
            { $0.webSocket.controlFrameBurst = 1_000_000 },
            application: webSocketEcho
        ) { fixture in
            let client = try await fixture.webSocket(receiveBuffer: 16 * 1024)
            let ping = WebSocketClient.bytes(WebSocketClient.ping, [UInt8](repeating: 1, count: 125))
            let batch = [UInt8]((0..<1000).map { _ in ping }.joined())
            for _ in 0..<200 { try await client.raw.send(batch) }
            try await client.send(WebSocketClient.ping, [9])
            #expect(try await fixture.get().body == "pong")
            // Many pongs were never written: of those that had to wait, the newest is there.
            var pongs = 0
            while true {
                let frame = try await client.frame()
                pongs += 1
                if frame.payload == [9] { break }
            }
            #expect(pongs < 150_000)
            try await client.send("alive")
            #expect(try await client.frame().text == "alive")
        }
    }

    @Test func `a large message is taken whole by an application that waits for it`() async throws {
        try await withServer(
            {
                $0.limits.streamReceiveWindow = 16 * 1024
                $0.webSocket.maxQueuedBytes = 8 * 1024
            },
            application: webSocketEcho
        ) { fixture in
            let client = try await fixture.webSocket()
            let payload = (0..<5_000_000).map { UInt8(truncatingIfNeeded: $0 >> 8) }
            try await client.send(WebSocketClient.binary, payload)
            #expect(try await client.frame().payload == payload)
        }
    }

    @Test func `a large message reaches a receive that waited before the acceptance`() async throws {
        let size = 1_000_000
        let received = Mailbox<Int>()
        try await withServer(application: { _, receive, send in
            _ = try await receive()
            async let next = receive()
            // It waits by the time that something has gone to and fro.
            try await Task.sleep(for: .milliseconds(50))
            try await send(.webSocketAccept())
            if case .webSocketReceive(let message, more: false) = try await next { received.put(message.byteCount) }
        }) { fixture in
            let client = try await fixture.webSocket()
            try await client.send(WebSocketClient.binary, [UInt8](repeating: 5, count: size))
            #expect(try await received.next() == size)
        }
    }

    @Test func `a client whose window is shut over HTTP/2 is not blamed for its silence`() async throws {
        let gate = Gate()
        let events = Mailbox<String>()
        try await withServer(
            {
                $0.webSocket.pingInterval = 0.5
                $0.webSocket.pingTimeout = 1.5
            },
            application: { _, receive, send in
                _ = try await receive()
                try await send(.webSocketAccept())
                if case .webSocketReceive(let message, _) = try await receive() { events.put("\(message.byteCount)") }
                await gate.wait()
                if case .webSocketReceive(let message, _) = try await receive() {
                    events.put("\(message.byteCount)")
                } else {
                    events.put("gone")
                }
            }
        ) { fixture in
            let port = fixture.port
            let wasReset = try await onThread {
                let server = try #require(SocketAddress(literal: "127.0.0.1", port: UInt16(port)))
                let connector = try HTTP2Connector(server: server, until: .now + .seconds(10))
                let transport = try connector.open("/", offer: nil, until: .now + .seconds(10))
                for size in [100_000, 240_000] {
                    let message = WebSocketClient.bytes(WebSocketClient.binary, [UInt8](repeating: 1, count: size))
                    do {
                        try transport.send([message], until: .now + .seconds(size == 100_000 ? 10 : 4))
                    } catch {
                        // There was no room until the time was up.
                        return false
                    }
                }
                return true
            }
            #expect(try await events.next() == "100000")
            #expect(!wasReset)
            #expect(!fixture.log.contains("no answer to a ping"))
            gate.open()
        }
    }
}
