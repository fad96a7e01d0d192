/// Why TLS could not be set up, or why a session ended before its time.
package enum TLSError: Error, Hashable, Sendable, CustomStringConvertible {
    /// A certificate, key or option cannot be used: one sentence for the operator, without any secret.
    case configuration(String)
    /// The peer speaks HTTP in clear. Nothing is queued, so that an answer can be sent in clear too.
    case plaintextHTTP
    /// The peer broke a rule of TLS, or nothing could be agreed with it. An alert waits in the output where one is due.
    case protocolViolation(String)
    /// The peer gave up with this alert (RFC 8446 §6.2).
    case peerAlert(code: UInt8, name: String)
    /// The session has failed or was closed before.
    case ended
    /// Our own fault: the library said no, or memory ran out.
    case internalFailure(String)

    package var description: String {
        switch self {
        case .configuration(let sentence): sentence
        case .plaintextHTTP: "plaintext HTTP on a TLS port"
        case .protocolViolation(let reason): "TLS: \(reason)"
        case .peerAlert(let code, let name): "TLS: the peer sent the alert \(code) (\(name))"
        case .ended: "TLS: the session has ended"
        case .internalFailure(let reason): "TLS: \(reason)"
        }
    }
}
