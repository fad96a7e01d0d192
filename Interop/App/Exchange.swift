import ApusGateway

/// One request with its handles.
struct Exchange {
    let request: HTTPScope
    let receive: Receive
    let send: Send

    /// The value of a query parameter, as it came.
    func parameter(_ name: String) -> String? {
        Query(request.queryString)[name]
    }

    func answer(_ text: String, status: Int = 200) async throws {
        try await send(.responseStart(status: status, headers: ["content-type": "text/plain"]))
        try await send(.responseBody(Bytes(text)))
    }

    /// Reads the body no faster than `rate` bytes a second, and answers how many there were.
    func slowRead() async throws {
        let rate = parameter("rate").flatMap { Int($0) } ?? 1 << 20
        var count = 0
        let clock = ContinuousClock()
        let start = clock.now
        while case .requestBody(let bytes, let more) = try await receive() {
            count += bytes.count
            guard more else { break }
            try await clock.sleep(until: start + .seconds(Double(count) / Double(rate)))
        }
        try await answer("\(count)\n")
    }

    func countBody() async throws {
        var count = 0
        while case .requestBody(let bytes, let more) = try await receive() {
            count += bytes.count
            guard more else { break }
        }
        try await answer("\(count)\n")
    }

    /// Answers with the request's trailers as text, and sends trailers of its own.
    func trailers() async throws {
        var text = ""
        reading: while true {
            switch try await receive() {
            case .requestBody(_, let more) where more: continue
            case .requestTrailers(let fields): text = fields.description + "\n"
            default: break
            }
            break reading
        }
        try await send(.responseStart(status: 200, headers: ["content-type": "text/plain"], trailers: true))
        try await send(.responseBody("the trailers were:\n", more: true))
        try await send(.responseBody(Bytes(text)))
        try await send(.responseTrailers(["x-checksum": "abc123"]))
    }

    func earlyHints() async throws {
        try await send(.earlyHint(links: ["</style.css>; rel=preload; as=style"]))
        try await answer("hinted\n")
    }

    /// Streams until the client leaves, and writes down that it did.
    func watch() async throws {
        let id = parameter("id") ?? "-"
        try await send(.responseStart(status: 200, headers: ["content-type": "text/plain"]))
        try await send(.responseBody("watching\n", more: true))
        let ticks = Task {
            while true {
                try await Task.sleep(for: .milliseconds(50))
                try await send(.responseBody("tick\n", more: true))
            }
        }
        defer { ticks.cancel() }
        while true {
            if case .disconnect = try await receive() { break }
        }
        Endings.shared.note(id, "disconnect")
    }
}
