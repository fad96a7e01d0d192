/// A request without its body, as every protocol engine hands it over.
package final class RequestHead: Sendable {
    package let version: HTTPVersion
    /// The method as it came; methods are case-sensitive (RFC 9110 §9.1).
    package let method: String
    /// `http` or `https`: the scheme of the connection, not of what the client claims.
    package let scheme: String
    /// The request target's path and query as they came; `*` for `OPTIONS *`.
    package let target: Bytes
    /// The fields with lower-case names; `host` holds the authority on every version.
    package let headers: Headers
    /// The declared body length; nil where it is not known beforehand.
    package let contentLength: Int?
    /// Whether the request may have a body or trailers still to come.
    package let hasBody: Bool
    /// Whether the client waits for a 100 before it sends the body (RFC 9110 §10.1.1).
    package let expectsContinue: Bool
    /// Whether the client said that it takes trailers (`te` has `trailers`).
    package let acceptsTrailers: Bool
    /// Whether the request asks for a WebSocket: by Upgrade on HTTP/1.1, by extended CONNECT on HTTP/2 and HTTP/3.
    ///
    /// A 101 (HTTP/1.1) or 200 (HTTP/2, HTTP/3) whose head `opensTunnel` then lets bytes through both ways as bodies.
    package let isWebSocket: Bool

    package init(
        version: HTTPVersion,
        method: String,
        scheme: String,
        target: Bytes,
        headers: Headers,
        contentLength: Int?,
        hasBody: Bool,
        expectsContinue: Bool,
        acceptsTrailers: Bool,
        isWebSocket: Bool = false
    ) {
        self.version = version
        self.method = method
        self.scheme = scheme
        self.target = target
        self.headers = headers
        self.contentLength = contentLength
        self.hasBody = hasBody
        self.expectsContinue = expectsContinue
        self.acceptsTrailers = acceptsTrailers
        self.isWebSocket = isWebSocket
    }

    /// Whether the response must not have a body whatever its fields say (RFC 9110 §9.3.2).
    package var isHead: Bool { method == "HEAD" }
}
