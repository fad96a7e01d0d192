/// A message of a WebSocket, or a fragment of one (RFC 6455 §5.6).
public enum WebSocketMessage: Sendable, Hashable {
    /// Text; what a client sends as text and is not UTF-8 never reaches an application.
    case text(String)
    case binary(Bytes)

    /// Its length on the wire, in bytes before compression.
    public var byteCount: Int {
        switch self {
        case .text(let text): text.utf8.count
        case .binary(let bytes): bytes.count
        }
    }
}

extension WebSocketMessage: ExpressibleByStringLiteral, ExpressibleByStringInterpolation {
    public init(stringLiteral text: String) {
        self = .text(text)
    }
}

/// How the messages of a WebSocket reach its application.
public enum WebSocketDelivery: Sendable, Hashable {
    /// Whole: each message is one event.
    case messages
    /// In pieces as they come, so that a large message need not sit in memory; a piece of text ends between characters.
    case fragments
}
