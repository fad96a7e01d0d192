/// The application's handle for events to the client.
public struct Send: Sendable {
    private let channel: any EventChannel

    /// A handle on a channel; servers and test kits make these.
    public init(_ channel: any EventChannel) {
        self.channel = channel
    }

    /// Hands an event to the server; returns when it is on its way, or queued below the high-water mark.
    ///
    /// - Throws: ``ContractViolation`` when the event is not allowed here (``SendEvent`` has the order), with no effect on
    ///   the response; ``ClientDisconnected`` when the client has left.
    public nonisolated(nonsending) func callAsFunction(_ event: SendEvent) async throws {
        try await channel.send(event)
    }
}
