import ApusGateway

/// Streams the request body back, piece by piece: it takes no more from the client than the client takes back.
struct EchoApplication: Application {
    func callAsFunction(_ scope: Scope, _ receive: Receive, _ send: Send) async throws {
        guard case .http(let request) = scope else { return try await BuiltInApplication.decline(scope, send) }
        // Received first: a client that waits for a 100 (RFC 9110 §10.1.1) gets it when the body is asked for.
        var event = try await receive()
        if case .disconnect = event { return }
        let trailers = Self.mayHaveTrailers(request)
        try await send(.responseStart(status: 200, headers: Self.headers(for: request), trailers: trailers))
        while true {
            switch event {
            case .requestBody(let bytes, let more):
                try await send(.responseBody(bytes, more: more))
                if more { break }
                // Trailers were announced and did not come.
                if trailers { try await send(.responseTrailers([:])) }
                return
            case .requestTrailers(let fields):
                try await send(.responseBody(Bytes()))
                if trailers { try await send(.responseTrailers(fields)) }
                return
            case .disconnect, .webSocketConnect, .webSocketReceive, .webSocketDisconnect, .startup, .shutdown:
                return
            }
            event = try await receive()
        }
    }

    /// Whether the client takes trailers, and may send some: it says so (RFC 9110 §6.6.2), or says no length.
    private static func mayHaveTrailers(_ request: HTTPScope) -> Bool {
        request.extensions.contains(.responseTrailers)
            && (request.headers.contains("trailer") || !request.headers.contains("content-length"))
    }

    /// The same type and length as came, if any.
    private static func headers(for request: HTTPScope) -> Headers {
        var headers: Headers = ["content-type": request.headers["content-type"] ?? "application/octet-stream"]
        if let length = request.headers["content-length"] { headers.append("content-length", length) }
        return headers
    }
}
