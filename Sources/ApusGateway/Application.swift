/// An asynchronous application: one call for each HTTP request, one for each WebSocket, and one for the lifespan of the
/// process.
///
/// The server calls the application with a ``Scope`` that says what is served, a ``Receive`` that gives the next event
/// from the client, and a ``Send`` that takes the next event for the client. The call's task belongs to that one scope:
/// it is cancelled once the client has left and the server's grace is over.
///
/// What an application may rely on, on every version of HTTP alike (ASGI 3.0 with the www 2.5 and lifespan 2.0
/// sub-specifications, in Swift's types):
/// - An error thrown before the response has started becomes a 500 response; after that, the stream is reset, so that
///   a truncated body never looks whole.
/// - An application that returns without having answered becomes a 500; one that returns with the body unfinished is
///   treated as one that threw.
/// - Both handles may be used from any task and any executor; concurrent sends are kept in the order of their arrival.
/// - An application that returns at once on ``Scope/lifespan(_:)`` does not take part in it, and is served all the same.
///
/// And on a WebSocket (``WebSocket`` is a handle that keeps these rules):
/// - The client waits until the application accepts. A close in place of the acceptance denies it with 403, and a
///   response with that; an error, or a return without any of them, becomes a 500.
/// - An application that returns closes with 1000; an error closes with 1011. Whoever closed, the server finishes the
///   closing handshake, and waits for the peer's part of it no longer than its configuration says.
/// - Once the WebSocket is over, every `receive` says so, and every send throws ``ClientDisconnected``, which an
///   application may let pass: that is no failure.
public protocol Application: Sendable {
    /// Serves one scope.
    ///
    /// - Parameters:
    ///   - scope: What is served. An application returns (or throws) on a scope that it does not know.
    ///   - receive: The next event from the client.
    ///   - send: The next event for the client; suspends while the client does not take what was sent.
    func callAsFunction(_ scope: Scope, _ receive: Receive, _ send: Send) async throws
}

/// An application that is a closure.
public struct ClosureApplication: Application {
    private let body: @Sendable (Scope, Receive, Send) async throws -> Void

    /// Wraps a closure of the application's signature.
    public init(_ body: @escaping @Sendable (Scope, Receive, Send) async throws -> Void) {
        self.body = body
    }

    public func callAsFunction(_ scope: Scope, _ receive: Receive, _ send: Send) async throws {
        try await body(scope, receive, send)
    }
}
