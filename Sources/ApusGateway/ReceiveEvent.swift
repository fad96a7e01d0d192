/// What an application receives (ASGI's `http.*` and `lifespan.*` receive events).
///
/// On an HTTP scope: any number of ``requestBody(_:more:)``, the last one with `more: false` unless
/// ``requestTrailers(_:)`` ends the request; then ``disconnect``, once the response has ended or the client has left.
/// On the lifespan scope: ``startup``, then ``shutdown``.
public enum ReceiveEvent: Sendable {
    /// A piece of the request body; `more` says whether anything of the request follows.
    case requestBody(Bytes, more: Bool)
    /// The request's trailer fields, which end the request (beyond ASGI).
    case requestTrailers(Headers)
    /// The client has left, or the response is complete.
    case disconnect
    /// The server is about to start; answer with ``SendEvent/startupComplete`` or ``SendEvent/startupFailed(message:)``.
    case startup
    /// The server has served its last request; answer with ``SendEvent/shutdownComplete``.
    case shutdown
}
