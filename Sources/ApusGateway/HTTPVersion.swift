/// The version of HTTP that a request came over.
public enum HTTPVersion: Sendable, Hashable, CaseIterable, CustomStringConvertible {
    case http1_0
    case http1_1
    case http2
    case http3

    /// As ASGI writes it: `1.0`, `1.1`, `2` or `3`.
    public var description: String {
        switch self {
        case .http1_0: "1.0"
        case .http1_1: "1.1"
        case .http2: "2"
        case .http3: "3"
        }
    }
}
