import ApusGateway

/// A room to talk in: a page at `/`, and the WebSocket that it opens at `/chat`.
struct WebSocketChatApplication: Application {
    private let room = ChatRoom()

    func callAsFunction(_ scope: Scope, _ receive: Receive, _ send: Send) async throws {
        switch scope {
        case .http(let request): try await answer(request, send)
        case .webSocket(let request):
            guard Self.path(request.path, mountedAt: request.rootPath) == "/chat" else {
                return try await WebSocket.deny(send, status: 404, "404 Not Found: the chat is at /chat")
            }
            let socket = try await WebSocket.accept(receive, send)
            try await converse(over: "HTTP/\(request.httpVersion)", socket)
        case .lifespan: return
        }
    }

    // MARK: - The WebSocket

    private func converse(over version: String, _ socket: WebSocket) async throws {
        guard let member = room.join(over: version) else {
            return try await socket.close(.tryAgainLater, reason: "the room is full")
        }
        defer { room.leave(member) }
        async let _ = deliver(member.news, socket)
        for try await message in socket {
            guard case .text(let text) = message else {
                return try await socket.close(.unsupportedData, reason: "the chat is text")
            }
            guard let message = ChatMessage(text) else {
                return try await socket.close(.policyViolation, reason: "not a message of the chat, or too long a one")
            }
            room.take(message, from: member)
        }
    }

    /// Sends what there is, as fast as the client takes it.
    private func deliver(_ news: AsyncStream<String>, _ socket: WebSocket) async throws {
        for await text in news { try await socket.send(text) }
        // Cancelled where the conversation is over; else the room has ended the queue.
        if !Task.isCancelled { try await socket.close(.tryAgainLater, reason: "you do not keep up") }
    }

    // MARK: - The page

    private func answer(_ request: HTTPScope, _ send: Send) async throws {
        switch Self.path(request.path, mountedAt: request.rootPath) {
        case "/" where request.method == "GET" || request.method == "HEAD":
            let page = ChatPage()
            try await send(.responseStart(status: 200, headers: page.headers))
            try await send(.responseBody(request.method == "HEAD" ? Bytes() : page.body))
        case "/": try await WebSocket.deny(send, status: 405, "405 Method Not Allowed")
        case "/chat": try await WebSocket.deny(send, status: 426, "426 Upgrade Required: this is a WebSocket")
        default: try await WebSocket.deny(send, status: 404, "404 Not Found")
        }
    }

    /// The path within the application.
    private static func path(_ path: String, mountedAt rootPath: String) -> Substring {
        path.hasPrefix(rootPath) ? path.dropFirst(rootPath.count) : path[...]
    }
}
