import ApusGateway
import Testing

struct WebSocketTests {
    /// The end of a client that closes in order.
    private let bye = ReceiveEvent.webSocketDisconnect(code: 1001, reason: "bye")

    private func accept(_ channel: ScriptedChannel, _ subprotocol: String? = nil) async throws -> WebSocket {
        try await WebSocket.accept(Receive(channel), Send(channel), subprotocol: subprotocol)
    }

    // MARK: - Opening

    @Test func `an acceptance takes the client's wish and grants it`() async throws {
        let channel = ScriptedChannel([.webSocketConnect, bye])
        let socket = try await WebSocket.accept(
            Receive(channel),
            Send(channel),
            subprotocol: "chat",
            headers: ["x-a": "1"]
        )
        #expect(socket.subprotocol == "chat")
        #expect(channel.sent == ["accept chat [\"x-a: 1\"] messages"])
        #expect(channel.receiveCount == 1)
    }

    @Test func `a client that left before is not accepted`() async {
        for end in [bye, .disconnect] {
            let channel = ScriptedChannel([end])
            await #expect(throws: ClientDisconnected.self) { try await accept(channel) }
            #expect(channel.sent.isEmpty)
        }
    }

    @Test func `what is no WebSocket is not accepted`() async {
        for event: ReceiveEvent in [.requestBody("a", more: false), .startup, .webSocketReceive("late")] {
            let channel = ScriptedChannel([event])
            await #expect(throws: ContractViolation.self) { try await accept(channel) }
            #expect(channel.sent.isEmpty)
        }
    }

    @Test func `a denial is a response with its length`() async throws {
        let channel = ScriptedChannel([.webSocketConnect])
        try await WebSocket.deny(Send(channel), status: 404, "nothing here")
        try await WebSocket.deny(Send(channel), status: 503)
        #expect(
            channel.sent == [
                "start 404 [\"content-length: 13\", \"content-type: text/plain; charset=utf-8\"]",
                "body nothing here\n",
                "start 503 [\"content-length: 0\"]", "body ",
            ]
        )
    }

    // MARK: - Messages

    @Test func `the iteration gives the messages and ends with the WebSocket`() async throws {
        let messages: [WebSocketMessage] = ["a", .binary(Bytes([0, 255])), .text(""), .binary(Bytes())]
        let channel = ScriptedChannel([.webSocketConnect] + messages.map { .webSocketReceive($0) } + [bye])
        let socket = try await accept(channel)
        var received: [WebSocketMessage] = []
        for try await message in socket {
            #expect(socket.closeCode == nil && socket.closeReason == nil)
            received.append(message)
        }
        #expect(received == messages)
        #expect(socket.closeCode == .goingAway && socket.closeReason == "bye")
    }

    @Test(arguments: [WebSocketCloseCode.abnormalClosure, .noStatusReceived, 4321])
    func `every end is an end of the iteration, and stays one`(code: WebSocketCloseCode) async throws {
        let channel = ScriptedChannel([.webSocketConnect, .webSocketDisconnect(code: code, reason: "")])
        let socket = try await accept(channel)
        for _ in 0..<2 {
            for try await message in socket { Issue.record("\(message)") }
            #expect(socket.closeCode == code && socket.closeReason == "")
        }
    }

    @Test func `each step takes one event, and no step takes none`() async throws {
        let channel = ScriptedChannel([.webSocketConnect, .webSocketReceive("a"), .webSocketReceive("b"), bye])
        var messages = try await accept(channel).makeAsyncIterator()
        #expect(channel.receiveCount == 1)
        #expect(try await messages.next() == "a")
        #expect(channel.receiveCount == 2)
        // What one iterator has left, the next one goes on with.
        #expect(try await messages.next() == "b")
        #expect(try await messages.next() == nil)
        #expect(channel.receiveCount == 4)
    }

    @Test func `text, bytes and messages are sent as what they are`() async throws {
        let channel = ScriptedChannel([.webSocketConnect, bye])
        let socket = try await accept(channel)
        try await socket.send("literal")
        try await socket.send(String("text"))
        try await socket.send(Bytes([1]))
        try await socket.send(.text("message"))
        try await socket.send(.binary("b"))
        let sent = ["text literal", "text text", "binary [1]", "text message", "binary [98]"]
        #expect(Array(channel.sent.dropFirst()) == sent)
    }

    @Test func `one task iterates while others send`() async throws {
        let channel = ScriptedChannel([.webSocketConnect])
        let socket = try await accept(channel)
        async let received = socket.reduce(into: []) { $0.append($1) }
        try await withThrowingTaskGroup(of: Void.self) { senders in
            for number in 0..<10 { senders.addTask { try await socket.send("\(number)") } }
            try await senders.waitForAll()
        }
        channel.add(.webSocketReceive("last"))
        channel.add(bye)
        #expect(try await received == ["last"])
        #expect(Set(channel.sent.dropFirst()) == Set((0..<10).map { "text \($0)" }))
    }

    // MARK: - The end

    @Test func `nothing is sent behind a close, and one close is enough`() async throws {
        let channel = ScriptedChannel([.webSocketConnect, bye])
        let socket = try await accept(channel)
        try await socket.close(4000, reason: "enough")
        try await socket.close()
        await #expect(throws: ClientDisconnected.self) { try await socket.send("late") }
        #expect(Array(channel.sent.dropFirst()) == ["close 4000 enough"])
        // The peer's answer is seen by who goes on to iterate.
        for try await message in socket { Issue.record("\(message)") }
        #expect(socket.closeCode == .goingAway)
    }

    @Test func `a close is a normal one where nothing else is said`() async throws {
        let channel = ScriptedChannel([.webSocketConnect, bye])
        try await accept(channel).close()
        #expect(channel.sent.last == "close 1000 ")
    }

    @Test func `nothing is sent to a client that has left`() async throws {
        let channel = ScriptedChannel([.webSocketConnect, bye])
        let socket = try await accept(channel)
        for try await message in socket { Issue.record("\(message)") }
        await #expect(throws: ClientDisconnected.self) { try await socket.send("late") }
        try await socket.close()
        #expect(channel.sent.count == 1)
    }
}
