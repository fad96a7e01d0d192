/// What an application sends (ASGI's `http.*`, `websocket.*` and `lifespan.*` send events).
///
/// The order on an HTTP scope: any number of ``earlyHint(links:)``; one ``responseStart(status:headers:trailers:)``;
/// then either any number of ``responseBody(_:more:)``, of which the last has `more: false`, or one
/// ``pathSend(path:)``; then, where the start said `trailers: true`, ``responseTrailers(_:)``. An event out of order
/// throws ``ContractViolation`` to the application; an event after the end is ignored.
///
/// The order on a WebSocket scope: ``webSocketAccept(subprotocol:headers:delivery:)``, any number of
/// ``webSocketSend(_:more:)``, one ``webSocketClose(code:reason:)``. In place of the acceptance a close denies the opening
/// with 403, and a response as on an HTTP scope denies it with that (ASGI's `websocket.http.response`). A message after
/// the close throws ``ClientDisconnected``.
public enum SendEvent: Sendable {
    /// Starts the response.
    ///
    /// - status: 200 to 999; informational statuses have their own events.
    /// - headers: In the order in which they go out. `transfer-encoding` is ignored, as are hop-by-hop fields on HTTP/2
    ///   and HTTP/3; a `content-length` is held against the body.
    /// - trailers: Whether ``responseTrailers(_:)`` will end the response.
    case responseStart(status: Int, headers: Headers = [:], trailers: Bool = false)
    /// A piece of the response body; the last has `more: false`.
    case responseBody(Bytes, more: Bool = false)
    /// The trailer fields, which end the response; sent where the client said `TE: trailers`, else dropped.
    case responseTrailers(Headers)
    /// A 103 response with one `link` field for each element (RFC 8297); only before the response's start.
    case earlyHint(links: [Bytes])
    /// The content of a file, by its absolute path, as the whole response body.
    case pathSend(path: String)
    /// Opens the WebSocket.
    ///
    /// - subprotocol: One of ``WebSocketScope/subprotocols``, or nil for none.
    /// - headers: Fields of the answer; none of those that belong to the handshake (`sec-websocket-…`).
    /// - delivery: Whether messages come whole or in pieces.
    case webSocketAccept(
        subprotocol: String? = nil,
        headers: Headers = [:],
        delivery: WebSocketDelivery = .messages
    )
    /// A message, or with `more: true` a fragment of one, which later ones of the same kind go on with: also those of other
    /// tasks, so that only one of them should send while a message is under way.
    case webSocketSend(WebSocketMessage, more: Bool = false)
    /// Closes the WebSocket; before the acceptance, denies it with 403.
    ///
    /// - code: One that may be sent (``WebSocketCloseCode/isSendable``).
    /// - reason: At most 123 bytes of UTF-8 (RFC 6455 §5.5).
    case webSocketClose(code: WebSocketCloseCode = .normalClosure, reason: String = "")
    /// The application is ready to serve.
    case startupComplete
    /// The application cannot serve: the server does not start, and says why.
    case startupFailed(message: String)
    /// The application has cleaned up.
    case shutdownComplete
    /// The application could not clean up; logged, and the server ends.
    case shutdownFailed(message: String)
}
