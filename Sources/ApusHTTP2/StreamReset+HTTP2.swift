import ApusHTTP
import CNghttp2

extension StreamReset {
    /// What an error code of HTTP/2 says about a stream (RFC 9113 §7).
    init(http2 code: UInt32) {
        switch code {
        case NGHTTP2_NO_ERROR.rawValue: self = .noError
        case NGHTTP2_CANCEL.rawValue: self = .cancelled
        case NGHTTP2_INTERNAL_ERROR.rawValue: self = .internalError
        case NGHTTP2_REFUSED_STREAM.rawValue: self = .refused
        case NGHTTP2_PROTOCOL_ERROR.rawValue: self = .malformed
        case NGHTTP2_ENHANCE_YOUR_CALM.rawValue: self = .excessiveLoad
        default: self = .other(UInt64(code))
        }
    }

    /// The error code of HTTP/2 for it.
    var http2Code: UInt32 {
        switch self {
        case .noError: NGHTTP2_NO_ERROR.rawValue
        case .cancelled, .connectionLost: NGHTTP2_CANCEL.rawValue
        case .internalError: NGHTTP2_INTERNAL_ERROR.rawValue
        case .refused: NGHTTP2_REFUSED_STREAM.rawValue
        case .malformed: NGHTTP2_PROTOCOL_ERROR.rawValue
        case .excessiveLoad: NGHTTP2_ENHANCE_YOUR_CALM.rawValue
        case .other(let code): UInt32(exactly: code) ?? NGHTTP2_INTERNAL_ERROR.rawValue
        }
    }
}
