import ApusGateway

/// What a peer did that ends its WebSocket (RFC 6455 §7.1.7).
enum WebSocketFault: Error, Hashable {
    case reservedBits
    case unknownOpcode
    case unmaskedFrame
    case invalidLength
    case invalidControlFrame
    case continuationWithoutStart
    case messageWithinMessage
    case invalidClosePayload
    case invalidCloseCode
    case invalidText
    case invalidCloseReason
    case invalidCompression
    case frameTooBig
    case messageTooBig
    case tooManyFragments
    case tooManyControlFrames
    case outOfMemory

    /// The code of the Close frame that answers it (RFC 6455 §7.4.1).
    var code: WebSocketCloseCode {
        switch self {
        case .reservedBits, .unknownOpcode, .unmaskedFrame, .invalidLength, .invalidControlFrame,
            .continuationWithoutStart, .messageWithinMessage, .invalidClosePayload, .invalidCloseCode:
            .protocolError
        case .invalidText, .invalidCloseReason, .invalidCompression: .invalidPayload
        case .frameTooBig, .messageTooBig, .tooManyFragments: .messageTooBig
        case .tooManyControlFrames: .policyViolation
        case .outOfMemory: .internalError
        }
    }

    /// One clause, for the log and for the Close frame.
    var reason: String {
        switch self {
        case .reservedBits: "a reserved bit is set"
        case .unknownOpcode: "unknown opcode"
        case .unmaskedFrame: "a frame is not masked"
        case .invalidLength: "invalid frame length"
        case .invalidControlFrame: "a control frame is fragmented or too long"
        case .continuationWithoutStart: "a continuation without a message"
        case .messageWithinMessage: "a message within a message"
        case .invalidClosePayload: "a Close frame of one byte"
        case .invalidCloseCode: "invalid close code"
        case .invalidText: "text that is not UTF-8"
        case .invalidCloseReason: "a close reason that is not UTF-8"
        case .invalidCompression: "invalid compressed data"
        case .frameTooBig: "frame too big"
        case .messageTooBig: "message too big"
        case .tooManyFragments: "too many fragments"
        case .tooManyControlFrames: "too many control frames"
        case .outOfMemory: "out of memory"
        }
    }

    var connectionError: ConnectionError {
        switch code {
        case .messageTooBig, .policyViolation: ConnectionError(.limitExceeded, "websocket: \(reason)")
        case .internalError: ConnectionError(.internalError, "websocket: \(reason)")
        default: ConnectionError(.protocolViolation, "websocket: \(reason)")
        }
    }
}
