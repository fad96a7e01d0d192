import ApusGateway
import ApusHTTP
import ApusHTTP3

/// What applications of tests do on a connection.
extension HTTP3Connection {
    /// Answers every request with a few bytes.
    func answerHello(_ event: StreamEvent) {
        if case .request(let id, _) = event { answer(id, "Hello, World!") }
    }

    func answer(_ id: StreamID, _ body: Bytes, status: Int = 200) {
        send(.head(ResponseHead(status: status, headers: ["content-type": "text/plain"])), on: id)
        send(.body(body, end: true), on: id)
        applicationEnded(on: id)
    }

    /// Sends every request's body back as it comes, and its trailers.
    func echo(_ event: StreamEvent) {
        switch event {
        case .request(let id, _):
            send(.head(ResponseHead(status: 200, headers: [:])), on: id)
        case .body(let id, let bytes):
            send(.body(bytes, end: false), on: id)
            consumed(bytes.count, on: id)
        case .end(let id, let trailers):
            send(trailers.map { .trailers($0) } ?? .body(Bytes(), end: true), on: id)
            applicationEnded(on: id)
        case .reset(let id, _):
            applicationEnded(on: id)
        case .writable:
            break
        }
    }
}
