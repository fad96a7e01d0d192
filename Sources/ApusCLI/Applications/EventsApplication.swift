import ApusGateway

/// Server-sent events, one a second until the client leaves.
struct EventsApplication: Application {
    private static let headers: Headers = ["content-type": "text/event-stream", "cache-control": "no-store"]

    func callAsFunction(_ scope: Scope, _ receive: Receive, _ send: Send) async throws {
        guard case .http(let request) = scope else { return try await BuiltInApplication.decline(scope, send) }
        try await send(.responseStart(status: 200, headers: Self.headers))
        guard request.method != "HEAD" else { return try await send(.responseBody(Bytes())) }
        // The task is cancelled when the client has left, which ends the sleep.
        var number = 1
        while true {
            try await send(.responseBody("id: \(number)\ndata: tick \(number)\n\n", more: true))
            number += 1
            try await Task.sleep(for: .seconds(1))
        }
    }
}
