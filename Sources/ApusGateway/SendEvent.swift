/// What an application sends (ASGI's `http.*` and `lifespan.*` send events).
///
/// The order on an HTTP scope: any number of ``earlyHint(links:)``; one ``responseStart(status:headers:trailers:)``;
/// then either any number of ``responseBody(_:more:)``, of which the last has `more: false`, or one
/// ``pathSend(path:)``; then, where the start said `trailers: true`, ``responseTrailers(_:)``. An event out of order
/// throws ``ContractViolation`` to the application; an event after the end is ignored.
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
    /// The application is ready to serve.
    case startupComplete
    /// The application cannot serve: the server does not start, and says why.
    case startupFailed(message: String)
    /// The application has cleaned up.
    case shutdownComplete
    /// The application could not clean up; logged, and the server ends.
    case shutdownFailed(message: String)
}
