import ApusCommand
import ApusGateway
import Synchronization
import Testing

@testable import ApusCLI

/// Plays a client that sends these events and then leaves.
private final class Script: EventChannel {
    private let events: Mutex<[ReceiveEvent]>
    private let recorded = Mutex<[SendEvent]>([])

    init(_ events: [ReceiveEvent]) {
        self.events = Mutex(events)
    }

    func receive() async throws -> ReceiveEvent {
        events.withLock { $0.isEmpty ? .disconnect : $0.removeFirst() }
    }

    func send(_ event: SendEvent) async throws {
        recorded.withLock { $0.append(event) }
    }

    var sent: [SendEvent] { recorded.withLock { $0 } }

    var body: String {
        sent.map { if case .responseBody(let bytes, _) = $0 { bytes.description } else { "" } }.joined()
    }

    var start: (status: Int, headers: Headers, trailers: Bool)? {
        guard case .responseStart(let status, let headers, let trailers)? = sent.first else { return nil }
        return (status, headers, trailers)
    }
}

struct BuiltInApplicationTests {
    /// Calls an application of this name.
    private func call(_ name: String, _ request: HTTPScope, _ events: [ReceiveEvent] = []) async throws -> Script {
        let script = Script(events)
        let application = try BuiltInApplication.make(name)
        try await application(.http(request), Receive(script), Send(script))
        return script
    }

    @Test func `hello says its length`() async throws {
        let script = try await call("hello", HTTPScope())
        #expect(script.body == "Hello, World!")
        #expect(script.start?.headers["content-length"] == "13")
    }

    @Test func `echo gives back what it gets, piece by piece`() async throws {
        let request = HTTPScope(method: "POST", headers: ["content-length": "2", "content-type": "text/x"])
        let script = try await call(
            "echo",
            request,
            [.requestBody("a", more: true), .requestBody("b", more: false)]
        )
        #expect(script.body == "ab" && script.sent.count == 3)
        #expect(script.start?.headers["content-length"] == "2")
        #expect(script.start?.headers["content-type"] == "text/x")
        #expect(script.start?.trailers == false)
    }

    @Test(arguments: [true, false])
    func `echo gives trailers back to a client that takes them`(takes: Bool) async throws {
        let request = HTTPScope(method: "POST", headers: takes ? ["te": "trailers"] : [:])
        let script = try await call(
            "echo",
            request,
            [.requestBody("a", more: true), .requestTrailers(["x-sum": "1"])]
        )
        #expect(script.start?.trailers == takes)
        #expect(script.body == "a")
        if case .responseTrailers(let fields)? = script.sent.last {
            #expect(takes && fields["x-sum"] == "1")
        } else {
            #expect(!takes)
        }
    }

    @Test func `echo ends when the client leaves`() async throws {
        let script = try await call("echo", HTTPScope(), [.requestBody("a", more: true)])
        #expect(script.body == "a" && script.sent.count == 2)
    }

    @Test(arguments: [
        ("bytes=10&chunk=4", [4, 4, 2]), ("bytes=8&chunk=4", [4, 4]), ("bytes=3", [3]), ("bytes=0", [0]),
    ])
    func `stream sends as many bytes as it is asked for, in pieces as large`(query: String, pieces: [Int]) async throws
    {
        let script = try await call("stream", HTTPScope(target: "/?" + query))
        let bodies = script.sent.compactMap {
            if case .responseBody(let bytes, let more) = $0 { (bytes.count, more) } else { nil }
        }
        #expect(bodies.map(\.0) == pieces)
        #expect(bodies.map(\.1) == pieces.indices.map { $0 < pieces.count - 1 })
        #expect(script.start?.headers["content-length"] == String(pieces.reduce(0, +)))
    }

    @Test func `stream has a default size`() async throws {
        let script = try await call("stream", HTTPScope())
        #expect(script.start?.headers["content-length"] == "1048576")
        #expect(script.sent.count == 17)
    }

    @Test(arguments: ["bytes=x", "bytes=-1", "chunk=0", "bytes=1&chunk=16777217"])
    func `stream refuses what is no size`(query: String) async throws {
        #expect(try await call("stream", HTTPScope(target: "/?" + query)).start?.status == 400)
    }

    @Test func `sse sends an event at once and ends with its task`() async throws {
        let script = Script([])
        let task = Task { try await EventsApplication()(.http(HTTPScope()), Receive(script), Send(script)) }
        // The first event does not wait for anything; the sleep behind it ends at once.
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
        #expect(script.body == "id: 1\ndata: tick 1\n\n")
        #expect(script.start?.headers["content-type"] == "text/event-stream")
    }

    @Test func `scope says what it was told`() async throws {
        var state = State()
        state["pool", as: Int.self] = 1
        let headers: Headers = ["host": "a", "x": "1", "x": "\"2\""]
        let request = HTTPScope(target: "/a%20b?c=%20d", headers: headers, httpVersion: .http2, state: state)
        let body = try await call("scope", request).body
        for part in [
            "\"http_version\": \"2\"", "\"path\": \"/a b\"", "\"raw_path\": \"/a%20b\"",
            "\"query_string\": \"c=%20d\"", "[\"x\", \"1\"], [\"x\", \"\\\"2\\\"\"]", "\"client\": null",
            "\"state\": [\"pool\"]",
        ] {
            #expect(body.contains(part), "\(part)")
        }
    }

    // MARK: - WebSockets

    @Test(arguments: ["hello", "echo", "stream", "sse", "files:."])
    func `an application of requests alone denies a WebSocket`(name: String) async throws {
        let client = ChannelClient()
        let application = try BuiltInApplication.make(name)
        try await application(.webSocket(WebSocketScope()), Receive(client), Send(client))
        #expect(await client.read() == "close 1000 ")
        #expect(client.unread == 0)
    }

    @Test func `scope tells a WebSocket what it was told, and closes`() async throws {
        let client = ChannelClient()
        let headers: Headers = ["sec-websocket-protocol": "a, b"]
        let scope = WebSocketScope(target: "/a%20b?c", headers: headers, httpVersion: .http3)
        try await ScopeApplication()(.webSocket(scope), Receive(client), Send(client))
        #expect(await client.read() == "accept -")
        let text = await client.read()
        for part in [
            "\"type\": \"websocket\"", "\"http_version\": \"3\"", "\"scheme\": \"ws\"", "\"path\": \"/a b\"",
            "\"query_string\": \"c\"", "\"subprotocols\": [\"a\", \"b\"]",
        ] {
            #expect(text.contains(part), "\(part)")
        }
        #expect(JSONParser.parse(text) != nil)
        #expect(await client.read() == "close 1000 ")
    }

    @Test func `ws-echo sends back what comes, as what it came`() async throws {
        let client = ChannelClient()
        client.say("text")
        client.say(Bytes([0, 255]))
        client.say("")
        async let echo: Void = WebSocketEchoApplication()(
            .webSocket(WebSocketScope(headers: ["sec-websocket-protocol": "b, a"])),
            Receive(client),
            Send(client)
        )
        #expect(await client.read(4) == ["accept b", "text", "[0, 255]", ""])
        client.leave()
        try await echo
    }

    @Test func `ws-echo says to a request what it wants`() async throws {
        #expect(try await call("ws-echo", HTTPScope()).start?.status == 426)
    }

    @Test func `JSON escapes what it must`() {
        let value = JSONValue.object([("a\"b", .array([.null, .number(-1), .string("\u{1}\n\\ü")]))])
        #expect(value.text == "{\"a\\\"b\": [null, -1, \"\\u0001\\n\\\\ü\"]}")
    }

    @Test func `names that are not known are not taken`() {
        for name in ["nope", "", "files:", "Hello"] { #expect(!BuiltInApplication.isKnown(name)) }
        for name in ["hello", "files:.", "ws-echo", "ws-chat"] { #expect(BuiltInApplication.isKnown(name)) }
    }
}
