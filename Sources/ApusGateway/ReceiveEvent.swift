/// What an application receives (ASGI's `http.*`, `websocket.*` and `lifespan.*` receive events).
///
/// On an HTTP scope: any number of ``requestBody(_:more:)``, the last one with `more: false` unless
/// ``requestTrailers(_:)`` ends the request; then ``disconnect``, once the response has ended or the client has left.
/// On a WebSocket scope: ``webSocketConnect``; once the application has accepted, any number of
/// ``webSocketReceive(_:more:)``; then ``webSocketDisconnect(code:reason:)``, for ever. Where the application denied the
/// opening with a response, ``disconnect`` as on an HTTP scope.
///
/// On the lifespan scope: ``startup``, then ``shutdown``.
public enum ReceiveEvent: Sendable {
    /// A piece of the request body; `more` says whether anything of the request follows.
    case requestBody(Bytes, more: Bool)
    /// The request's trailer fields, which end the request (beyond ASGI).
    case requestTrailers(Headers)
    /// The client has left, or the response is complete.
    case disconnect
    /// A client wants to open a WebSocket, and waits for ``SendEvent/webSocketAccept(subprotocol:headers:delivery:)``,
    /// a close or a response.
    case webSocketConnect
    /// A message; or, where the application asked for ``WebSocketDelivery/fragments``, a piece of one, which may be
    /// empty: `more` says whether the message goes on.
    case webSocketReceive(WebSocketMessage, more: Bool = false)
    /// The WebSocket is over: with the peer's code and reason, or with ``WebSocketCloseCode/noStatusReceived`` where its
    /// Close frame had none, or with ``WebSocketCloseCode/abnormalClosure`` where it left without a Close frame.
    case webSocketDisconnect(code: WebSocketCloseCode, reason: String)
    /// The server is about to start; answer with ``SendEvent/startupComplete`` or ``SendEvent/startupFailed(message:)``.
    case startup
    /// The server has served its last request; answer with ``SendEvent/shutdownComplete``.
    case shutdown
}
