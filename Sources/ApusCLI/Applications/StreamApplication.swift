import ApusGateway

/// Sends `?bytes=N` bytes (1 MiB) in pieces of `?chunk=N` (64 KiB).
struct StreamApplication: Application {
    private static let defaultBytes = 1024 * 1024
    private static let defaultChunk = 64 * 1024
    /// One piece is one allocation.
    private static let maxChunk = 16 * 1024 * 1024

    func callAsFunction(_ scope: Scope, _ receive: Receive, _ send: Send) async throws {
        guard case .http(let request) = scope else { return try await BuiltInApplication.decline(scope, send) }
        let query = QueryNumbers(request.queryString)
        guard let total = query["bytes", default: Self.defaultBytes], total >= 0,
            let size = query["chunk", default: Self.defaultChunk], (1...Self.maxChunk).contains(size)
        else {
            return try await refuse(send)
        }
        let headers: Headers = ["content-type": "application/octet-stream", "content-length": String(total)]
        try await send(.responseStart(status: 200, headers: headers))
        // RFC 9110 §9.3.2: nothing is made for a HEAD that would not be sent.
        guard request.method != "HEAD", total > 0 else { return try await send(.responseBody(Bytes())) }
        try await sendPieces(of: min(size, total), total, send)
    }

    /// All pieces are slices of the same bytes.
    private func sendPieces(of size: Int, _ total: Int, _ send: Send) async throws {
        let piece = Bytes(count: size) { room in
            for index in room.indices { room[index] = UInt8(ascii: "a") + UInt8(index % 26) }
        }
        var left = total
        while left > 0 {
            let count = min(size, left)
            left -= count
            try await send(.responseBody(count == size ? piece : piece[0..<count], more: left > 0))
        }
    }

    private func refuse(_ send: Send) async throws {
        let text = Bytes("bytes is a number from 0 on, chunk one from 1 to \(Self.maxChunk)\n")
        let headers: Headers = ["content-type": "text/plain; charset=utf-8", "content-length": String(text.count)]
        try await send(.responseStart(status: 400, headers: headers))
        try await send(.responseBody(text))
    }
}

/// The numbers of a query such as `bytes=10&chunk=5`.
struct QueryNumbers {
    private var texts: [String: String] = [:]

    init(_ query: Bytes) {
        for pair in query.description.split(separator: "&") {
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            if parts.count == 2 { texts[String(parts[0])] = String(parts[1]) }
        }
    }

    /// The number of a name, the default where there is none, nil where there is something else.
    subscript(name: String, default number: Int) -> Int? {
        guard let text = texts[name] else { return number }
        return Int(text)
    }
}
