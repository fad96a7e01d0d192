/// Why a WebSocket was closed (RFC 6455 §7.4).
public struct WebSocketCloseCode: RawRepresentable, Sendable, Hashable {
    /// 1000 to 4999.
    public let rawValue: Int

    public init(rawValue: Int) {
        self.rawValue = rawValue
    }

    /// The purpose is fulfilled.
    public static let normalClosure = Self(rawValue: 1000)
    /// The server shuts down, or the browser has left the page.
    public static let goingAway = Self(rawValue: 1001)
    public static let protocolError = Self(rawValue: 1002)
    /// Text came where binary is needed, or the other way round.
    public static let unsupportedData = Self(rawValue: 1003)
    /// Never on the wire: the Close frame had no code.
    public static let noStatusReceived = Self(rawValue: 1005)
    /// Never on the wire: the connection or stream ended without a Close frame.
    public static let abnormalClosure = Self(rawValue: 1006)
    /// Text that is not UTF-8.
    public static let invalidPayload = Self(rawValue: 1007)
    public static let policyViolation = Self(rawValue: 1008)
    public static let messageTooBig = Self(rawValue: 1009)
    public static let internalError = Self(rawValue: 1011)
    /// The server restarts: come again.
    public static let serviceRestart = Self(rawValue: 1012)
    public static let tryAgainLater = Self(rawValue: 1013)

    /// Whether the code may stand in a Close frame (RFC 6455 §7.4.1 and §7.4.2).
    public var isSendable: Bool {
        switch rawValue {
        case 1000...1003, 1007...1014, 3000...4999: true
        default: false
        }
    }
}

extension WebSocketCloseCode: ExpressibleByIntegerLiteral {
    public init(integerLiteral code: Int) {
        self.init(rawValue: code)
    }
}

extension WebSocketCloseCode: CustomStringConvertible {
    public var description: String { String(rawValue) }
}
