/// The client has left: thrown by a send on a connection or stream that is gone.
///
/// An application may let it pass: the server does not take it for a failure.
public struct ClientDisconnected: Error, CustomStringConvertible {
    public init() {}

    public var description: String { "the client has left" }
}

/// An application did what the contract does not allow, such as sending out of order.
public struct ContractViolation: Error, CustomStringConvertible {
    /// What was done, and what is allowed instead.
    public let description: String

    public init(_ description: String) {
        self.description = description
    }
}

/// A request body went past the limit that the application gave.
public struct BodyTooLarge: Error, CustomStringConvertible {
    /// The limit, in bytes.
    public let limit: Int

    public init(limit: Int) {
        self.limit = limit
    }

    public var description: String { "the request body has more than \(limit) bytes" }
}
