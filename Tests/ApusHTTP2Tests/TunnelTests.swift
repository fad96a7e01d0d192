import ApusGateway
import ApusHTTP
import ApusHTTP2
import ApusTestClients
import Testing

/// An extended CONNECT that is not served, and the status or the error code that it gets.
struct RefusedOpening: Sendable, CustomTestStringConvertible {
    enum Answer { case status(String), code(UInt32) }

    let name: String
    let fields: [(String, String)]
    let answer: Answer

    var testDescription: String { name }

    /// The fields of an opening with one of them changed, or left out where there is no value.
    init(_ name: String, _ field: String, _ value: String?, _ answer: Answer) {
        self.name = name
        self.answer = answer
        fields = Tunnel.fields.compactMap { $0.0 == field ? value.map { (field, $0) } : $0 }
    }

    init(_ name: String, more: (String, String), _ answer: Answer) {
        self.name = name
        self.answer = answer
        fields = Tunnel.fields + [more]
    }
}

private let refused = [
    RefusedOpening("another protocol", ":protocol", "connect-udp", .status("501")),
    RefusedOpening("a longer name", ":protocol", "websockets", .status("501")),
    RefusedOpening("another method", ":method", "GET", .code(1)),
    RefusedOpening("no scheme", ":scheme", nil, .code(1)),
    RefusedOpening("no path", ":path", nil, .code(1)),
    RefusedOpening("no authority", ":authority", nil, .code(1)),
    RefusedOpening("no protocol, but the rest", ":protocol", nil, .code(1)),
    RefusedOpening("an asterisk", ":path", "*", .code(1)),
    RefusedOpening("a path without a slash under another scheme", ":path", "chat", .code(1)),
    RefusedOpening("a length", more: ("content-length", "0"), .status("400")),
    RefusedOpening("a field of HTTP/1's", more: ("upgrade", "websocket"), .code(1)),
    RefusedOpening("a second protocol", more: (":protocol", "websocket"), .code(1)),
]

@Suite struct TunnelTests {
    // MARK: - Openings

    @Test func `extended CONNECT is announced where WebSockets are served`() {
        #expect(Tunnel.serving().client.settings[8] == 1)
        let harness = Harness()
        harness.run()
        #expect(harness.client.settings[8] == nil)
    }

    @Test(arguments: ["websocket", "WebSocket"])
    func `a CONNECT for a WebSocket is told as one`(name: String) throws {
        let harness = Tunnel.serving()
        let fields = Tunnel.fields.map { $0.0 == ":protocol" ? ($0.0, name) : $0 }
        let id = Tunnel.ask(harness, fields + [("sec-websocket-version", "13"), ("expect", "100-continue")])
        let head = try #require(harness.requests.first)
        #expect(head.isWebSocket)
        #expect(head.method == "CONNECT")
        #expect(head.target == "/chat?a=b")
        #expect(head.scheme == "https")
        #expect(
            head.headers == ["host": "example.org", "sec-websocket-version": "13", "expect": "100-continue"]
        )
        #expect(head.hasBody)
        #expect(!head.expectsContinue)
        #expect(head.contentLength == nil)
        #expect(!harness.ended(id))
    }

    @Test func `other requests are none`() {
        let harness = Tunnel.serving()
        harness.application = Applications.hello
        let id = harness.client.request()
        harness.run()
        #expect(harness.requests.map(\.isWebSocket) == [false])
        #expect(harness.client[id].status == "200")
    }

    @Test(arguments: refused)
    func `an opening that cannot be served ends its own stream`(_ opening: RefusedOpening) {
        let harness = Tunnel.serving()
        harness.application = Applications.hello
        let id = Tunnel.ask(harness, opening.fields)
        switch opening.answer {
        case .status(let status): #expect(harness.client[id].status == status)
        case .code(let code): #expect(harness.client[id].resetCode == code)
        }
        #expect(harness.requests.isEmpty)
        let next = harness.client.request()
        harness.run()
        #expect(harness.client[next].status == "200")
        #expect(harness.server.connectionError == nil)
    }

    @Test(arguments: [true, false])
    func `a plain CONNECT is not served`(webSockets: Bool) {
        let harness = Harness(webSockets: webSockets)
        let id = Tunnel.ask(harness, [(":method", "CONNECT"), (":authority", "example.org:443")])
        #expect(harness.client[id].status == "501")
        #expect(harness.requests.isEmpty)
    }

    @Test func `where WebSockets are not served, an extended CONNECT is malformed`() {
        let harness = Harness()
        harness.application = Applications.hello
        let id = Tunnel.ask(harness)
        #expect(harness.client[id].resetCode == 1)
        let next = harness.client.request()
        harness.run()
        #expect(harness.requests.map(\.method) == ["GET"])
        #expect(harness.client[next].status == "200")
    }

    @Test func `an acceptance is a 200 without a length that ends nothing`() {
        let harness = Tunnel.serving()
        let id = Tunnel.ask(harness)
        let headers: Headers = ["sec-websocket-protocol": "chat", "content-length": "5"]
        harness.send(.informational(status: 101, [:]), on: id)
        harness.send(
            .head(ResponseHead(status: 200, headers: headers, defaults: ["server": "apus"], opensTunnel: true)),
            on: id
        )
        harness.run()
        #expect(harness.client[id].informational.isEmpty)
        #expect(harness.client[id].status == "200")
        #expect(harness.client[id].headers == ["sec-websocket-protocol: chat", "server: apus"])
        #expect(!harness.client[id].isComplete)
        #expect(harness.client.dataFrames == 0)
    }

    @Test func `a denial is an ordinary response`() {
        let harness = Tunnel.serving()
        let id = Tunnel.ask(harness)
        harness.client.send([1, 2, 3], on: id)
        harness.respond(id, status: 403)
        harness.run()
        #expect(harness.client[id].status == "403")
        #expect(harness.client[id].body == Array("Hello".utf8))
        #expect(harness.client[id].isComplete)
        // RFC 9113 §8.1: the rest of the request is not needed.
        #expect(harness.client[id].resetCode == 0)
        #expect(harness.resets(of: id).isEmpty)
    }

    // MARK: - Bytes

    @Test func `bytes pass both ways, those before the acceptance too`() {
        let harness = Tunnel.serving()
        let id = Tunnel.ask(harness)
        harness.client.send(Array("early".utf8), on: id)
        harness.run()
        #expect(harness.body(of: id) == Array("early".utf8))
        harness.send(Tunnel.accept, on: id)
        harness.send(.body("hello", end: false), on: id)
        harness.client.send(Array(", late".utf8), on: id)
        harness.run()
        harness.send(.body("", end: false), on: id)
        harness.send(.body(", you", end: false), on: id)
        harness.run()
        #expect(harness.body(of: id) == Array("early, late".utf8))
        #expect(harness.client[id].body == Array("hello, you".utf8))
        #expect(!harness.client[id].isComplete)
        #expect(!harness.ended(id))
    }

    @Test func `input may be cut anywhere`() {
        let bytes =
            Wire.preface + Wire.headers(1, Tunnel.fields, ends: false) + Wire.data(1, pattern(50))
            + Wire.get(3) + Wire.data(1, pattern(20)) + Wire.data(1, [], ends: true)
        for cut in 0...bytes.count {
            let harness = Harness(webSockets: true)
            harness.application = { harness, event in
                if case .request(let id, let head) = event, head.isWebSocket {
                    harness.server.send(Tunnel.accept, on: id)
                } else if case .request(let id, _) = event {
                    harness.respond(Int32(id.rawValue))
                } else if case .body(let id, let bytes) = event {
                    harness.server.send(.body(bytes, end: false), on: id)
                } else if case .end(StreamID(1), _) = event {
                    harness.server.send(.body(Bytes(), end: true), on: StreamID(1))
                }
            }
            harness.feed(Array(bytes[..<cut]))
            var output = harness.output()
            harness.feed(Array(bytes[cut...]))
            output += harness.output()
            #expect(harness.body(of: 1) == pattern(50) + pattern(20), "cut at \(cut)")
            let frames = Wire.parse(output)
            let echo = frames.filter { $0.type == 0 && $0.stream == 1 }.flatMap(\.payload)
            #expect(echo == pattern(50) + pattern(20), "cut at \(cut)")
            #expect(Set(frames.filter { $0.type <= 1 && $0.flags & 1 == 1 }.map(\.stream)) == [1, 3], "cut at \(cut)")
            #expect(!frames.contains { $0.type == 3 }, "cut at \(cut)")
        }
    }

    @Test(arguments: [true, false])
    func `the peer's window closes at what the application leaves, and its neighbour's does not`(accepted: Bool) {
        var limits = Limits()
        limits.streamReceiveWindow = 70_000
        let harness = Tunnel.serving(limits)
        let id = accepted ? Tunnel.open(harness) : Tunnel.ask(harness)
        harness.client.send(pattern(200_000), on: id)
        harness.run()
        #expect(isPattern(harness.body(of: id), 70_000))
        #expect(harness.client[id].sentBody == 70_000)

        let neighbour = harness.client.request("POST", body: pattern(50_000))
        harness.run()
        #expect(isPattern(harness.body(of: neighbour), 50_000))
        #expect(harness.ended(neighbour))

        if !accepted { harness.send(Tunnel.accept, on: id) }
        while harness.body(of: id).count < 200_000 {
            let before = harness.body(of: id).count
            harness.server.consumed(60_000, on: id)
            harness.run()
            guard harness.body(of: id).count > before else { break }
        }
        #expect(isPattern(harness.body(of: id), 200_000))
    }

    @Test func `bytes that the peer does not take are counted, and called for again`() {
        var limits = Limits()
        limits.streamSendHighWater = 3000
        limits.streamSendLowWater = 1000
        let harness = Tunnel.serving(limits, window: 2000)
        let id = Tunnel.open(harness)
        harness.send(.body(Bytes(pattern(6000)), end: false), on: id)
        harness.run()
        #expect(harness.client[id].body.count == 2000)
        #expect(harness.server.bufferedOutput(on: StreamID(UInt64(id))) == 4000)
        #expect(harness.writables(of: id) == 0)
        for _ in 0..<2 {
            harness.client.consume(2000, on: id)
            harness.run()
        }
        #expect(harness.writables(of: id) == 1)
        #expect(isPattern(harness.client[id].body, 6000))
    }

    @Test func `a busy WebSocket takes turns with its neighbours`() throws {
        let harness = Tunnel.serving()
        let id = Tunnel.open(harness)
        // More than one call writes, and the older stream.
        harness.send(.body(Bytes(pattern(2_000_000)), end: false), on: id)
        let neighbour = harness.client.request()
        harness.feed(harness.client.output())
        harness.respond(neighbour, body: Bytes(pattern(100_000)))
        harness.run()
        #expect(harness.client[neighbour].isComplete)
        #expect(harness.client[id].body.count == 2_000_000)
        let order = harness.client.dataOrder
        let last = try #require(order.lastIndex(of: neighbour))
        let frames = order.count { $0 == neighbour }
        #expect(last < 3 * frames)
    }

    /// What comes of a response beside a WebSocket that always has a little to say, while the connection's window opens
    /// for three times as much.
    private func answer(beside fields: [(String, String)]) -> [UInt8] {
        let harness = Harness(webSockets: true)
        harness.feed(
            Wire.preface + Wire.headers(1, fields, ends: false) + Wire.windowUpdate(1, by: 1 << 20) + Wire.get(3)
        )
        harness.send(Tunnel.accept, on: 1)
        // The window of the connection, until nothing is left of it.
        for size in [15_000, 15_000, 15_000, 15_000, 5535, 10_000] {
            harness.send(.body(Bytes(pattern(size)), end: false), on: 1)
            _ = harness.output()
        }
        harness.respond(3, body: Bytes(pattern(10_000)))
        var answer: [UInt8] = []
        for _ in 0..<15 {
            harness.feed(Wire.windowUpdate(0, by: 2000))
            answer += Wire.parse(harness.output()).filter { $0.type == 0 && $0.stream == 3 }.flatMap(\.payload)
            let left = harness.server.bufferedOutput(on: StreamID(1))
            harness.send(.body(Bytes(pattern(10_000 - left)), end: false), on: 1)
        }
        return answer
    }

    @Test(arguments: [nil, "u=3", "u=7, i", "i"])
    func `a WebSocket that always has a little to say does not keep its neighbours waiting`(priority: String?) {
        let answer = answer(beside: Tunnel.fields + (priority.map { [("priority", $0)] } ?? []))
        #expect(isPattern(answer, 10_000))
    }

    @Test(arguments: ["u=2", "i, u=0"])
    func `a WebSocket is as urgent as its client says`(priority: String) {
        #expect(answer(beside: Tunnel.fields + [("priority", priority)]).isEmpty)
    }

    @Test func `a WebSocket whose peer takes nothing does not keep its neighbours waiting`() {
        let harness = Tunnel.serving(window: 1000)
        let id = Tunnel.open(harness)
        harness.send(.body(Bytes(pattern(100_000)), end: false), on: id)
        harness.application = Applications.hello
        let neighbour = harness.client.request()
        harness.run()
        #expect(harness.client[id].body.count == 1000)
        #expect(harness.client[neighbour].isComplete)
    }

    @Test func `WebSockets that nobody reads do not close the window for their neighbours`() {
        var limits = Limits()
        limits.connectionReceiveWindow = 100_000
        limits.streamReceiveWindow = 80_000
        let harness = Tunnel.serving(limits)
        let unread = (0..<5).map { _ in Tunnel.ask(harness) }
        for id in unread {
            harness.client.send(pattern(30_000), on: id)
            harness.run()
            harness.send(Tunnel.accept, on: id)
            harness.client.send(pattern(50_000), on: id)
            harness.run()
        }
        let neighbour = Tunnel.open(harness)
        harness.client.send(Array("heard".utf8), on: neighbour)
        harness.run()
        #expect(harness.body(of: neighbour) == Array("heard".utf8))
        for id in unread { #expect(harness.body(of: id).count == 80_000) }
    }
}
