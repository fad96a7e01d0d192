/// The version of HTTP that a request came over.
public enum HTTPVersion: Sendable, Hashable, CaseIterable, CustomStringConvertible {
    case http10
    case http11
    case http2
    case http3

    /// As ASGI writes it: `1.0`, `1.1`, `2` or `3`.
    public var description: String {
        switch self {
        case .http10: "1.0"
        case .http11: "1.1"
        case .http2: "2"
        case .http3: "3"
        }
    }
}
