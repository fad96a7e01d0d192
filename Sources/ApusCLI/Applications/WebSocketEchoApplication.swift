import ApusGateway

/// Sends each message back; agrees to the first subprotocol that the client offers, whatever it is.
struct WebSocketEchoApplication: Application {
    func callAsFunction(_ scope: Scope, _ receive: Receive, _ send: Send) async throws {
        switch scope {
        case .http: try await WebSocket.deny(send, status: 426, "426 Upgrade Required: this is a WebSocket")
        case .webSocket(let request):
            let socket = try await WebSocket.accept(receive, send, subprotocol: request.subprotocols.first)
            for try await message in socket { try await socket.send(message) }
        case .lifespan: return
        }
    }
}
