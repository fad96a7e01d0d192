/// What an application is called for.
public enum Scope: Sendable {
    /// One HTTP request.
    case http(HTTPScope)
    /// One WebSocket.
    case webSocket(WebSocketScope)
    /// The life of the process (or of one worker of it): startup and shutdown.
    case lifespan(LifespanScope)
}

/// The lifespan scope (ASGI's lifespan sub-specification 2.0).
public struct LifespanScope: Sendable {
    /// What the application puts here before it answers startup, every request sees in ``HTTPScope/state``.
    public let state: LifespanState

    public init(state: LifespanState = LifespanState()) {
        self.state = state
    }
}

/// One HTTP request, the same whatever version it came over (ASGI's `http` scope).
public struct HTTPScope: Sendable {
    package let head: RequestHead
    package let connection: ConnectionInfo
    /// The values that the application prepared at its startup.
    public let state: State

    package init(head: RequestHead, connection: ConnectionInfo, state: State) {
        self.head = head
        self.connection = connection
        self.state = state
    }

    /// The HTTP version.
    public var httpVersion: HTTPVersion { head.version }

    /// The method, e.g. `GET`; methods are case-sensitive.
    public var method: String { head.method }

    /// `http`, or `https` over TLS.
    public var scheme: String { head.scheme }

    /// The path without the query, percent-decoded and read as UTF-8 (what is not UTF-8 is replaced).
    public var path: String { percentDecoded(rawPath) }

    /// The path as it came, without the query.
    public var rawPath: Bytes {
        guard let mark = head.target.firstIndex(of: UInt8(ascii: "?")) else { return head.target }
        return head.target[0..<mark]
    }

    /// What follows the `?` of the target, still percent-encoded; empty where there is none.
    public var queryString: Bytes {
        guard let mark = head.target.firstIndex(of: UInt8(ascii: "?")) else { return Bytes() }
        return head.target.dropFirst(mark + 1)
    }

    /// The path under which the application is mounted; ``path`` contains it.
    public var rootPath: String { connection.rootPath }

    /// The request's fields with lower-case names; `host` comes first, on HTTP/2 and 3 from `:authority`.
    public var headers: Headers { head.headers }

    /// The client's address; nil where the transport has none.
    public var client: Address? { connection.client }

    /// The address that the client reached.
    public var server: Address? { connection.server }

    /// What TLS agreed on; nil on plaintext.
    public var tls: TLSInfo? { connection.tls }

    /// What the server offers on this request beyond the core events.
    public var extensions: Extensions {
        var extensions: Extensions = [.pathSend, .requestTrailers]
        if head.acceptsTrailers { extensions.insert(.responseTrailers) }
        // RFC 8297: an HTTP/1.0 client would take a 103 for the final response.
        if head.version != .http10 { extensions.insert(.earlyHints) }
        if connection.tls != nil { extensions.insert(.tls) }
        return extensions
    }

    /// Events and facts beyond the core.
    public struct Extensions: OptionSet, Sendable {
        public let rawValue: Int

        public init(rawValue: Int) {
            self.rawValue = rawValue
        }

        /// Trailers are sent to this client (`http.response.trailers`).
        public static let responseTrailers = Extensions(rawValue: 1)
        /// Early hints are sent to this client (`http.response.early_hint`).
        public static let earlyHints = Extensions(rawValue: 2)
        /// A file can be the body (`http.response.pathsend`).
        public static let pathSend = Extensions(rawValue: 4)
        /// ``HTTPScope/tls`` has the facts of the handshake (`tls`).
        public static let tls = Extensions(rawValue: 8)
        /// Request trailers are delivered.
        public static let requestTrailers = Extensions(rawValue: 16)
    }
}

extension HTTPScope {
    /// A scope made by hand, for tests of applications and for bridges.
    ///
    /// - Parameters:
    ///   - method: The method.
    ///   - target: Path and query, percent-encoded.
    ///   - headers: Fields with lower-case names.
    ///   - httpVersion: The version that the application sees.
    ///   - state: The values prepared at startup.
    public init(
        method: String = "GET",
        target: String = "/",
        headers: Headers = [:],
        httpVersion: HTTPVersion = .http11,
        state: State = State()
    ) {
        let acceptsTrailers = headers["te"]?.lowercased().contains("trailers") ?? false
        self.init(
            head: RequestHead(
                version: httpVersion,
                method: method,
                scheme: "http",
                target: Bytes(target),
                headers: headers,
                contentLength: headers["content-length"].flatMap { Int($0) },
                hasBody: true,
                expectsContinue: false,
                acceptsTrailers: acceptsTrailers
            ),
            connection: ConnectionInfo(client: nil, server: nil, tls: nil, rootPath: ""),
            state: state
        )
    }
}

/// Decodes `%41` to `A`; a `%` without two hexadecimal digits stays as it is.
package func percentDecoded(_ bytes: Bytes) -> String {
    guard bytes.contains(UInt8(ascii: "%")) else { return String(decoding: bytes, as: UTF8.self) }
    var decoded: [UInt8] = []
    decoded.reserveCapacity(bytes.count)
    var index = 0
    while index < bytes.count {
        if bytes[index] == UInt8(ascii: "%"), index + 2 < bytes.count,
            let high = hexDigitValue(bytes[index + 1]), let low = hexDigitValue(bytes[index + 2])
        {
            decoded.append(high << 4 | low)
            index += 3
        } else {
            decoded.append(bytes[index])
            index += 1
        }
    }
    return String(decoding: decoded, as: UTF8.self)
}

/// 0 to 15 for a hexadecimal digit, nil for any other byte.
package func hexDigitValue(_ byte: UInt8) -> UInt8? {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
    default: nil
    }
}
