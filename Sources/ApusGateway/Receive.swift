/// Where an application's events come from and go to: a request stream of the server, or a test's script.
///
/// Implementations accept calls from any task; see ``Application`` for the rules.
public protocol EventChannel: AnyObject, Sendable {
    /// The next event from the client; suspends until there is one.
    nonisolated(nonsending) func receive() async throws -> ReceiveEvent

    /// Takes an event for the client; suspends while more than the high-water mark waits for the client.
    nonisolated(nonsending) func send(_ event: SendEvent) async throws
}

/// The application's handle for events from the client.
public struct Receive: Sendable {
    private let channel: any EventChannel

    /// A handle on a channel; servers and test kits make these.
    public init(_ channel: any EventChannel) {
        self.channel = channel
    }

    /// Waits for the next event.
    ///
    /// Only what the application takes lets the client send more. After the response has ended, or once the client has
    /// left, every call returns ``ReceiveEvent/disconnect``, or ``ReceiveEvent/webSocketDisconnect(code:reason:)`` on a
    /// WebSocket.
    ///
    /// - Throws: ``ContractViolation`` when another `receive` of the same scope is still waiting;
    ///   `CancellationError` when the task is cancelled while it waits.
    public nonisolated(nonsending) func callAsFunction() async throws -> ReceiveEvent {
        try await channel.receive()
    }
}

extension Receive {
    /// Reads the rest of the request body into one piece, up to `limit` bytes.
    ///
    /// - Parameter limit: The most bytes that are accepted.
    /// - Throws: ``BodyTooLarge`` past the limit, ``ClientDisconnected`` when the client leaves before the end.
    public nonisolated(nonsending) func body(upTo limit: Int) async throws -> Bytes {
        var pieces: [Bytes] = []
        var count = 0
        while true {
            switch try await self() {
            case .requestBody(let bytes, let more):
                count += bytes.count
                guard count <= limit else { throw BodyTooLarge(limit: limit) }
                if !more && pieces.isEmpty { return bytes }
                pieces.append(bytes)
                if !more { return Bytes(joining: pieces, count: count) }
            case .requestTrailers:
                return Bytes(joining: pieces, count: count)
            case .disconnect:
                throw ClientDisconnected()
            case .webSocketConnect, .webSocketReceive, .webSocketDisconnect:
                throw ContractViolation("a WebSocket scope has no request body")
            case .startup, .shutdown:
                throw ContractViolation("a lifespan scope has no request body")
            }
        }
    }
}
