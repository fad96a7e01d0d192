import ApusGateway
import Glibc

/// One WebSocket with its handles; the last part of its path says what becomes of it.
struct WebSocketSession {
    private let scope: WebSocketScope
    private let receive: Receive
    private let send: Send
    private let query: Query

    private struct Failure: Error {}

    init(_ scope: WebSocketScope, _ receive: Receive, _ send: Send) {
        self.scope = scope
        self.receive = receive
        self.send = send
        query = Query(scope.queryString)
    }

    func run() async throws {
        guard case .webSocketConnect = try await receive() else { throw Failure() }
        switch scope.path {
        case "/ws/echo": try await echo()
        case "/ws/fragments": try await echo(delivery: .fragments)
        case "/ws/subprotocol": try await chooseSubprotocol()
        case "/ws/scope": try await tellScope()
        case "/ws/deny": try await deny()
        case "/ws/close": try await close()
        case "/ws/close-at-once": try await send(.webSocketClose())
        case "/ws/throw": try await open(thenThrow: true)
        case "/ws/return": try await open(thenThrow: false)
        case "/ws/throw-at-once": throw Failure()
        case "/ws/return-at-once": return
        case "/ws/push": try await push()
        case "/ws/never-reads": try await neverRead()
        case "/ws/never-accepts": note(try await awaitDisconnect())
        case "/ws/watch": try await watch()
        case "/ws/breaks-the-contract": try await breakTheContract()
        default: try await send(.responseStart(status: 404)); try await send(.responseBody("no such path\n"))
        }
    }

    private func echo(delivery: WebSocketDelivery = .messages) async throws {
        try await send(.webSocketAccept(headers: ["x-process": String(getpid())], delivery: delivery))
        while case .webSocketReceive(let message, let more) = try await receive() {
            try await send(.webSocketSend(message, more: more))
        }
    }

    /// Waits until it is over, whatever comes.
    private func awaitDisconnect() async throws -> String {
        while true {
            if case .webSocketDisconnect(let code, let reason) = try await receive() { return "\(code) \(reason)" }
        }
    }

    private func note(_ text: String) {
        Endings.shared.note(query["id"] ?? "-", text)
    }

    // Openings

    /// Takes the last one that is offered, and says which.
    private func chooseSubprotocol() async throws {
        try await send(.webSocketAccept(subprotocol: scope.subprotocols.last))
        try await send(.webSocketSend(.text(scope.subprotocols.joined(separator: " "))))
        _ = try await awaitDisconnect()
    }

    private func tellScope() async throws {
        try await send(.webSocketAccept(headers: ["x-first": "one", "set-cookie": "a=1", "set-cookie": "b=2"]))
        let facts = [
            "\(scope.httpVersion)", scope.scheme, scope.path, scope.queryString.description,
            scope.headers["x-mine"] ?? "-",
        ]
        try await send(.webSocketSend(.text(facts.joined(separator: " "))))
        _ = try await awaitDisconnect()
    }

    /// With a response of the application's own.
    private func deny() async throws {
        let headers: Headers = ["content-type": "text/plain", "x-reason": "not today"]
        try await send(.responseStart(status: query[number: "status"] ?? 401, headers: headers))
        try await send(.responseBody("denied, ", more: true))
        try await send(.responseBody("and that is that\n"))
    }

    // Endings

    private func close() async throws {
        try await send(.webSocketAccept())
        let code = WebSocketCloseCode(rawValue: query[number: "code"] ?? 1000)
        try await send(.webSocketClose(code: code, reason: query["reason"] ?? ""))
        note(try await awaitDisconnect())
    }

    private func open(thenThrow: Bool) async throws {
        try await send(.webSocketAccept())
        try await send(.webSocketSend("the last words"))
        if thenThrow { throw Failure() }
    }

    /// Reads all, and writes down how it ended.
    private func watch() async throws {
        try await send(.webSocketAccept())
        note(try await awaitDisconnect())
    }

    // Flow

    /// Sends `count` binary messages of `size` bytes, each as soon as it may.
    private func push() async throws {
        try await send(.webSocketAccept())
        let message = Bytes([UInt8](repeating: 0x61, count: query[number: "size"] ?? 1000))
        for _ in 0..<(query[number: "count"] ?? 1) {
            try await send(.webSocketSend(.binary(message)))
        }
        try await send(.webSocketClose())
    }

    private func neverRead() async throws {
        try await send(.webSocketAccept())
        try await Task.sleep(for: .seconds(600))
    }

    /// What may not be is thrown to the application, and changes nothing; after the close there is only the disconnect.
    private func breakTheContract() async throws {
        var outcomes: [String] = []
        func attempt(_ name: String, _ event: SendEvent) async {
            do {
                try await send(event)
                outcomes.append("\(name) went")
            } catch is ContractViolation {
                outcomes.append("\(name) is a violation")
            } catch is ClientDisconnected {
                outcomes.append("\(name) is too late")
            } catch {
                outcomes.append("\(name) \(error)")
            }
        }
        await attempt("early message", .webSocketSend("early"))
        try await send(.webSocketAccept())
        await attempt("second acceptance", .webSocketAccept())
        await attempt("response", .responseStart(status: 200))
        await attempt("code 1005", .webSocketClose(code: 1005))
        try await send(.webSocketClose())
        await attempt("late message", .webSocketSend("late"))
        note(outcomes.joined(separator: ", "))
        _ = try await awaitDisconnect()
    }
}
