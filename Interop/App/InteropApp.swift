import ApusCommand

/// The application that the interop cases ask: well-behaved corners of the contract, and misbehaviour on purpose.
@main
struct InteropApp: MainApplication {
    func callAsFunction(_ scope: Scope, _ receive: Receive, _ send: Send) async throws {
        guard case .http(let request) = scope else { return }
        let exchange = Exchange(request: request, receive: receive, send: send)
        let path = request.path
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
        default: try await exchange.answer("no such path\n", status: 404)
        }
    }
}
