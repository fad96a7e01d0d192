import ApusCommand
import ApusGateway

/// Answers what it was told about the request or the WebSocket, as JSON with the names of ASGI.
struct ScopeApplication: Application {
    func callAsFunction(_ scope: Scope, _ receive: Receive, _ send: Send) async throws {
        switch scope {
        case .http(let request):
            let body = Bytes(JSONValue(request).text + "\n")
            let headers: Headers = ["content-type": "application/json", "content-length": String(body.count)]
            try await send(.responseStart(status: 200, headers: headers))
            try await send(.responseBody(body))
        case .webSocket(let request):
            let socket = try await WebSocket.accept(receive, send)
            try await socket.send(JSONValue(request).text)
            try await socket.close()
        case .lifespan: return
        }
    }
}

extension JSONValue {
    /// A scope; bytes are read as UTF-8, with what is not UTF-8 replaced.
    init(_ request: HTTPScope) {
        self = .object(
            [
                ("type", "http"), ("http_version", .string(request.httpVersion.description)),
                ("method", .string(request.method)),
            ] + Self.shared(request) + [
                ("extensions", .array(Self.extensionNames(request.extensions).map { .string($0) })),
                ("state", .array(request.state.names.map { .string($0) })),
            ]
        )
    }

    /// Likewise of a WebSocket.
    init(_ request: WebSocketScope) {
        self = .object(
            [("type", "websocket"), ("http_version", .string(request.httpVersion.description))]
                + Self.shared(request) + [
                    ("subprotocols", .array(request.subprotocols.map { .string($0) })),
                    ("state", .array(request.state.names.map { .string($0) })),
                ]
        )
    }

    /// What a request and the opening of a WebSocket have in common.
    private static func shared(_ request: any OpeningScope) -> [(String, JSONValue)] {
        [
            ("scheme", .string(request.scheme)),
            ("path", .string(request.path)),
            ("raw_path", .string(request.rawPath.description)),
            ("query_string", .string(request.queryString.description)),
            ("root_path", .string(request.rootPath)),
            ("headers", .array(request.headers.map { .array([.string($0.name), .string($0.value)]) })),
            ("client", address(request.client)),
            ("server", address(request.server)),
            ("tls", tls(request.tls)),
        ]
    }

    /// `[host, port]`, with the path of a unix socket and null for it.
    private static func address(_ address: Address?) -> JSONValue {
        guard let address else { return .null }
        return .array([.string(address.host), address.port.map { .number($0) } ?? .null])
    }

    private static func tls(_ tls: TLSInfo?) -> JSONValue {
        guard let tls else { return .null }
        return .object([
            ("tls_version", .number(tls.version)),
            ("cipher_suite", .number(tls.cipherSuite)),
            ("server_name", tls.serverName.map { .string($0) } ?? .null),
            ("client_certificates", .number(tls.clientCertificateChain.count)),
        ])
    }

    private static func extensionNames(_ extensions: HTTPScope.Extensions) -> [String] {
        let names: [(HTTPScope.Extensions, String)] = [
            (.responseTrailers, "http.response.trailers"),
            (.earlyHints, "http.response.early_hint"),
            (.pathSend, "http.response.pathsend"),
            (.tls, "tls"),
            (.requestTrailers, "http.request.trailers"),
        ]
        return names.filter { extensions.contains($0.0) }.map(\.1)
    }
}

/// The scopes that begin with a request.
private protocol OpeningScope {
    var scheme: String { get }
    var path: String { get }
    var rawPath: Bytes { get }
    var queryString: Bytes { get }
    var rootPath: String { get }
    var headers: Headers { get }
    var client: Address? { get }
    var server: Address? { get }
    var tls: TLSInfo? { get }
}

extension HTTPScope: OpeningScope {}
extension WebSocketScope: OpeningScope {}
