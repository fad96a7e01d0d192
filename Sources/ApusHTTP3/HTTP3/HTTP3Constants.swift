import ApusHTTP
import CNghttp3

/// Numbers of this engine that no configuration changes.
enum HTTP3Constants {
    /// The window of the control and QPACK streams; what they carry is used up at once.
    static let controlStreamWindow = 64 * 1024
    /// Control, two for QPACK, and room for reserved types (RFC 9114 §6.2.3).
    static let maxUnidirectionalStreams = 8
    /// The most body bytes that nghttp3 is handed at a time, and the largest DATA frame.
    static let handOver = 64 * 1024
    /// Seconds between two packets that keep a connection alive, at the least: a peer must not make us send more often by
    /// saying that it is soon gone.
    static let minKeepAlive = 1.0
    /// Seconds that a handshake may still take once the server shuts down.
    static let handshakeGrace = 3.0
    /// Seconds between the two GOAWAYs of a shutdown, at the least: a client's QUIC acknowledges the first long before a busy
    /// application has read it, and asks on until then.
    static let noticePeriod = 1.0
    /// The same at the most, however long a round trip is.
    static let longestNotice = 3.0
    /// Memory for arriving body bytes that a connection keeps for the next ones; and where tunnels may keep it idle.
    static let keptArena = 64 * 1024
    static let keptArenaWithTunnels = 4 * 1024
    /// Stream objects that an idle connection keeps for reuse.
    static let pooledStreams = 8
    /// Closed connections whose IDs are remembered; past that they are forgotten at once.
    static let maxClosedConnections = 10_000
}

extension StreamReset {
    /// The reason as an HTTP/3 error code (RFC 9114 §8.1).
    var http3Code: UInt64 {
        switch self {
        case .noError: UInt64(NGHTTP3_H3_NO_ERROR)
        case .cancelled, .connectionLost: UInt64(NGHTTP3_H3_REQUEST_CANCELLED)
        case .internalError: UInt64(NGHTTP3_H3_INTERNAL_ERROR)
        case .refused: UInt64(NGHTTP3_H3_REQUEST_REJECTED)
        case .malformed: UInt64(NGHTTP3_H3_MESSAGE_ERROR)
        case .excessiveLoad: UInt64(NGHTTP3_H3_EXCESSIVE_LOAD)
        case .other(let code): code
        }
    }

    /// The word for an HTTP/3 error code.
    init(http3Code: UInt64) {
        switch Int32(truncatingIfNeeded: http3Code) {
        case _ where http3Code > UInt64(Int32.max): self = .other(http3Code)
        case NGHTTP3_H3_NO_ERROR: self = .noError
        case NGHTTP3_H3_REQUEST_CANCELLED: self = .cancelled
        case NGHTTP3_H3_INTERNAL_ERROR: self = .internalError
        case NGHTTP3_H3_REQUEST_REJECTED: self = .refused
        case NGHTTP3_H3_MESSAGE_ERROR: self = .malformed
        case NGHTTP3_H3_EXCESSIVE_LOAD: self = .excessiveLoad
        default: self = .other(http3Code)
        }
    }
}
