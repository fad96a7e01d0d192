import ApusGateway

/// What ``StaticFiles`` answers: decided before anything is sent.
struct StaticResponse {
    var status: Int
    var headers: Headers
    var body: Body

    enum Body {
        case bytes(Bytes)
        case file(OpenFile)
        case part(OpenFile, Range<Int>)
    }

    /// A sentence for people, with the status in it.
    static func text(_ text: String, status: Int, _ headers: Headers = [:]) -> StaticResponse {
        let body = Bytes(text + "\n")
        var all: Headers = ["content-type": "text/plain; charset=utf-8", "content-length": String(body.count)]
        all.append(contentsOf: headers)
        return StaticResponse(status: status, headers: all, body: .bytes(body))
    }

    /// The whole of a file.
    ///
    /// The length is the server's to say when it sends the file by path: it knows the size at that moment.
    static func file(_ file: OpenFile, headers: Headers) -> StaticResponse {
        StaticResponse(status: 200, headers: headers, body: .file(file))
    }

    /// Keeps the head alone, with the length that the body would have had.
    mutating func dropBody() {
        if case .file(let file) = body { headers.set("content-length", String(file.size)) }
        body = .bytes(Bytes())
    }
}

extension StaticRoot.Refusal {
    /// What the client is told.
    var response: StaticResponse {
        switch self {
        case .notFound: .text("404 Not Found", status: 404)
        case .forbidden: .text("403 Forbidden", status: 403)
        case .exhausted: .text("503 Service Unavailable", status: 503)
        }
    }
}
