import ApusCommand
import ApusGateway
import Testing

@testable import ApusCLI

struct ChatTests {
    private let chat = WebSocketChatApplication()

    /// Opens a WebSocket and reads up to the welcome.
    private func enter(
        _ group: inout ThrowingTaskGroup<Void, any Error>,
        over version: HTTPVersion = .http11,
        window: Int = .max
    ) async -> (client: ChannelClient, welcome: String) {
        let client = ChannelClient(window: window)
        let scope = WebSocketScope(target: "/chat", httpVersion: version)
        group.addTask { [chat] in try await chat(.webSocket(scope), Receive(client), Send(client)) }
        #expect(await client.read() == "accept -")
        return (client, await client.read())
    }

    private func json(_ members: KeyValuePairs<String, JSONValue>) -> String {
        JSONValue.object(members.map { ($0.key, $0.value) }).text
    }

    // MARK: - The room

    @Test(arguments: [(HTTPVersion.http11, "HTTP/1.1"), (.http2, "HTTP/2"), (.http3, "HTTP/3")])
    func `a member is told how it is connected`(version: HTTPVersion, name: String) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            let (client, welcome) = await enter(&group, over: version)
            let expected = #"{"type": "welcome", "member": 1, "name": "Guest 1", "present": 1, "protocol": "\#(name)"}"#
            #expect(welcome == expected)
            client.leave()
            try await group.waitForAll()
        }
    }

    @Test func `what one says all hear, under the name that it has`() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            let (ada, _) = await enter(&group)
            let (bob, welcome) = await enter(&group)
            #expect(welcome.contains("\"member\": 2") && welcome.contains("\"present\": 2"))
            #expect(await ada.read() == #"{"type": "joined", "name": "Guest 2", "present": 2}"#)
            ada.say(json(["type": "name", "name": "Ada"]))
            ada.say(json(["type": "say", "text": "<b>\"hi\"</b>"]))
            for client in [ada, bob] {
                #expect(await client.read() == #"{"type": "renamed", "member": 1, "from": "Guest 1", "to": "Ada"}"#)
                let said = #"{"type": "said", "member": 1, "name": "Ada", "text": "<b>\"hi\"</b>"}"#
                #expect(await client.read() == said)
            }
            ada.leave()
            #expect(await bob.read() == #"{"type": "left", "name": "Ada", "present": 1}"#)
            bob.leave()
            try await group.waitForAll()
        }
    }

    @Test func `a member that does not keep up is shown the door, and the others go on`() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            // It reads the acceptance and the welcome, and then one thing is on its way and the others are queued.
            let (slow, _) = await enter(&group, window: 1)
            let (quick, _) = await enter(&group)
            let said = ChatRoom.maxQueuedNews + 2
            for number in 0..<said {
                quick.say(json(["type": "say", "text": .string("\(number)")]))
                #expect(await quick.read().contains("\"text\": \"\(number)\""))
            }
            #expect(await quick.read() == #"{"type": "left", "name": "Guest 1", "present": 1}"#)
            // What was queued before is still sent.
            var last = ""
            repeat { last = await slow.read() } while last.hasPrefix("{")
            #expect(last == "close 1013 you do not keep up")
            // It is no member any more: what it says nobody hears.
            slow.say(json(["type": "say", "text": "late"]))
            quick.say(json(["type": "say", "text": "still here"]))
            #expect(await quick.read().contains("still here"))
            slow.leave()
            quick.leave()
            try await group.waitForAll()
            #expect(quick.unread == 0)
        }
    }

    @Test func `a full queue holds what its bound says`() async {
        let room = ChatRoom()
        guard let member = room.join(over: ""), let other = room.join(over: "") else {
            Issue.record("the room is not full")
            return
        }
        // The welcome and the other's coming are in the queue.
        for number in 2..<ChatRoom.maxQueuedNews { room.take(.say("\(number)"), from: member) }
        var news: [String] = []
        var iterator = other.news.makeAsyncIterator()
        for _ in 1..<ChatRoom.maxQueuedNews { news.append(await iterator.next() ?? "-") }
        #expect(news.last?.contains("\"text\": \"\(ChatRoom.maxQueuedNews - 1)\"") == true)
        // One past it ends the queue of the member, which has read nothing; the other hears of it.
        room.take(.say("one past"), from: member)
        #expect(await iterator.next()?.contains("one past") == true)
        #expect(await iterator.next()?.contains("\"left\"") == true)
        var count = 0
        for await _ in member.news { count += 1 }
        #expect(count == ChatRoom.maxQueuedNews)
    }

    @Test func `a full room lets nobody in until somebody leaves`() throws {
        let room = ChatRoom(maxMembers: 2)
        let first = try #require(room.join(over: ""))
        _ = try #require(room.join(over: ""))
        #expect(room.join(over: "")?.id == nil)
        // Leaving twice is leaving once.
        room.leave(first)
        room.leave(first)
        let next = try #require(room.join(over: ""))
        #expect(room.join(over: "")?.id == nil)
        #expect(next.id == 3)
    }

    @Test(arguments: [
        "", "hi", "[]", "{}", "{\"type\": \"say\"}", "{\"type\": \"say\", \"text\": 1}",
        "{\"type\": \"say\", \"text\": \" \\n\"}", "{\"type\": \"name\", \"name\": \"\"}",
        "{\"type\": \"shout\", \"text\": \"a\"}", "{\"type\": 1, \"text\": \"a\"}",
    ])
    func `what is no message of the chat closes with 1008`(text: String) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            let (client, _) = await enter(&group)
            client.say(text)
            #expect(await client.read().hasPrefix("close 1008 "))
            try await group.waitForAll()
        }
    }

    @Test func `bytes close with 1003`() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            let (client, _) = await enter(&group)
            client.say(Bytes("{}"))
            #expect(await client.read().hasPrefix("close 1003 "))
            try await group.waitForAll()
        }
    }

    @Test func `texts and names have bounds`() {
        func say(_ count: Int) -> ChatMessage? {
            ChatMessage(json(["type": "say", "text": .string(String(repeating: "a", count: count))]))
        }
        func name(_ count: Int) -> ChatMessage? {
            ChatMessage(json(["type": "name", "name": .string(String(repeating: "a", count: count))]))
        }
        #expect(say(ChatMessage.maxTextBytes) != nil && say(ChatMessage.maxTextBytes + 1) == nil)
        #expect(name(ChatMessage.maxNameBytes) != nil && name(ChatMessage.maxNameBytes + 1) == nil)
        func padded(_ count: Int) -> ChatMessage? {
            let message = json(["type": "say", "text": "a"])
            return ChatMessage(message + String(repeating: " ", count: count - message.utf8.count))
        }
        #expect(padded(ChatMessage.maxBytes) != nil && padded(ChatMessage.maxBytes + 1) == nil)
    }

    // MARK: - The page

    private func ask(_ target: String, _ method: String = "GET") async throws -> (String, String) {
        let client = ChannelClient([])
        try await chat(.http(HTTPScope(method: method, target: target)), Receive(client), Send(client))
        return (await client.read(), await client.read())
    }

    @Test func `the page is at the root, and its script bears the nonce of its policy`() async throws {
        let (page, other) = (ChatPage(), ChatPage())
        let policy = try #require(page.headers["content-security-policy"])
        let nonce = try #require(policy.firstMatch(of: #/script-src 'nonce-([0-9a-f]+)'/#)?.1)
        #expect(page.body.description.contains("<script nonce=\"\(nonce)\">"))
        #expect(page.body.description.contains("<style nonce=\"\(nonce)\">"))
        #expect(!policy.contains("unsafe") && other.headers["content-security-policy"] != policy)
        #expect(page.headers["content-length"] == String(page.body.count))
        let (start, body) = try await ask("/")
        #expect(start == "start 200" && body.hasPrefix("body <!doctype html>") && body.hasSuffix("</html>\n"))
        #expect(try await ask("/", "HEAD") == ("start 200", "body "))
    }

    @Test(arguments: [("/", "POST", 405), ("/chat", "GET", 426), ("/other", "GET", 404)])
    func `what is not the page has its status`(target: String, method: String, status: Int) async throws {
        #expect(try await ask(target, method).0 == "start \(status)")
    }

    @Test func `a WebSocket elsewhere is denied`() async throws {
        let client = ChannelClient()
        try await chat(.webSocket(WebSocketScope(target: "/")), Receive(client), Send(client))
        #expect(await client.read() == "start 404")
    }
}
