/// Why a request is not served: the status that says so, and the reason in a few words.
///
/// After a refusal nothing more of the connection's input is interpreted: where one message ends is no longer certain.
struct RequestRefusal: Error, Hashable {
    let status: Int
    let reason: String

    init(_ status: Int, _ reason: String) {
        self.status = status
        self.reason = reason
    }

    static func malformed(_ reason: String) -> RequestRefusal {
        RequestRefusal(400, reason)
    }

    static let lineTooLong = RequestRefusal(414, "the request line is too long")
    static let sectionTooLarge = RequestRefusal(431, "the fields are too large")
    static let tooManyFields = RequestRefusal(431, "there are too many fields")
}

extension RequestRefusal {
    /// What the refusal is in the log.
    var kind: ConnectionError.Kind {
        switch status {
        case 408: .timeout
        case 414, 431: .limitExceeded
        default: .protocolViolation
        }
    }

    /// What the application is told when its request ends this way.
    var reset: StreamReset {
        status == 408 ? .connectionLost : .malformed
    }
}
