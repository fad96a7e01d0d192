/// One WebSocket, the same whatever version of HTTP opened it (ASGI's `websocket` scope): an Upgrade on HTTP/1.1
/// (RFC 6455), an extended CONNECT on HTTP/2 (RFC 8441) and HTTP/3 (RFC 9220).
public struct WebSocketScope: Sendable {
    /// The request that opens it.
    private let request: HTTPScope

    package init(request: HTTPScope) {
        self.request = request
    }

    /// The HTTP version of the connection.
    public var httpVersion: HTTPVersion { request.httpVersion }

    /// `ws`, or `wss` over TLS.
    public var scheme: String { request.scheme == "https" ? "wss" : "ws" }

    /// The path without the query, percent-decoded and read as UTF-8 (what is not UTF-8 is replaced).
    public var path: String { request.path }

    /// The path as it came, without the query.
    public var rawPath: Bytes { request.rawPath }

    /// What follows the `?` of the target, still percent-encoded; empty where there is none.
    public var queryString: Bytes { request.queryString }

    /// The path under which the application is mounted; ``path`` contains it.
    public var rootPath: String { request.rootPath }

    /// The fields of the opening request with lower-case names; `host` comes first.
    public var headers: Headers { request.headers }

    /// The client's address; nil where the transport has none.
    public var client: Address? { request.client }

    /// The address that the client reached.
    public var server: Address? { request.server }

    /// What TLS agreed on; nil on plaintext.
    public var tls: TLSInfo? { request.tls }

    /// The values that the application prepared at its startup.
    public var state: State { request.state }

    /// The subprotocols that the client offers, in its order of preference (RFC 6455 §11.3.4).
    public var subprotocols: [String] {
        request.headers[all: "sec-websocket-protocol"]
            .flatMap { $0.split(separator: ",") }
            .map { trimmed($0) }
            .filter { !$0.isEmpty }
    }
}

extension WebSocketScope {
    /// A scope made by hand, for tests of applications and for bridges.
    ///
    /// - Parameters:
    ///   - target: Path and query, percent-encoded.
    ///   - headers: Fields with lower-case names; the subprotocols are those of `sec-websocket-protocol`.
    ///   - httpVersion: The version that the application sees.
    ///   - state: The values prepared at startup.
    public init(
        target: String = "/",
        headers: Headers = [:],
        httpVersion: HTTPVersion = .http11,
        state: State = State()
    ) {
        self.init(request: HTTPScope(target: target, headers: headers, httpVersion: httpVersion, state: state))
    }
}

/// Text without the spaces and tabs around it.
private func trimmed(_ text: Substring) -> String {
    let isBlank: (Character) -> Bool = { $0 == " " || $0 == "\t" }
    let start = text.drop(while: isBlank)
    guard let last = start.lastIndex(where: { !isBlank($0) }) else { return "" }
    return String(start[...last])
}
