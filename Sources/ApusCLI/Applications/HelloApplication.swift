import ApusGateway

/// Answers everything with the same 13 bytes, as cheaply as an application can.
struct HelloApplication: Application {
    private static let headers: Headers = ["content-type": "text/plain", "content-length": "13"]
    private static let body: Bytes = "Hello, World!"

    func callAsFunction(_ scope: Scope, _ receive: Receive, _ send: Send) async throws {
        guard case .http = scope else { return try await BuiltInApplication.decline(scope, send) }
        try await send(.responseStart(status: 200, headers: Self.headers))
        try await send(.responseBody(Self.body))
    }
}
