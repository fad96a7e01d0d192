import ApusCommand

/// The application that the interop cases ask: well-behaved corners of the contract, and misbehaviour on purpose.
@main
struct InteropApp: MainApplication {
    func callAsFunction(_ scope: Scope, _ receive: Receive, _ send: Send) async throws {
        switch scope {
        case .http(let request): try await serve(Exchange(request: request, receive: receive, send: send))
        case .webSocket(let opening): try await WebSocketSession(opening, receive, send).run()
        case .lifespan: try await Life(receive, send).run()
        }
    }

    private func serve(_ exchange: Exchange) async throws {
        let path = exchange.request.path
        if path.hasPrefix("/misbehave/") {
            try await exchange.misbehave(String(path.dropFirst("/misbehave/".count)))
            return
        }
        switch path {
        case "/slow-read": try await exchange.slowRead()
        case "/trailers": try await exchange.trailers()
        case "/early-hints": try await exchange.earlyHints()
        case "/watch": try await exchange.watch()
        case "/disconnects": try await exchange.answer(Endings.shared.lines)
        case "/body-count": try await exchange.countBody()
        case "/process": try await exchange.tellProcess()
        case "/poll": try await exchange.poll()
        case "/block": try await exchange.block()
        case "/work": try await exchange.work()
        case "/grow": try await exchange.grow()
        case "/die": try exchange.die()
        case "/events": try await exchange.streamEvents()
        default: try await exchange.answer("no such path\n", status: 404)
        }
    }
}
