/// Why a connection ends before its time. The engine has queued what the peer must be told; the driver logs the reason.
package struct ConnectionError: Error, CustomStringConvertible, Sendable {
    package enum Kind: Hashable, Sendable {
        /// The peer broke a rule of the protocol.
        case protocolViolation
        /// The peer used more than it may.
        case limitExceeded
        /// The peer was silent for too long.
        case timeout
        /// The peer or the network ended the connection while something was unfinished.
        case peerGone
        /// Our own fault: a library said no, memory ran out.
        case internalError
    }

    package let kind: Kind
    /// One clause for the log; holds no secret and no bytes of the peer's as they came.
    package let description: String

    package init(_ kind: Kind, _ description: String) {
        self.kind = kind
        self.description = description
    }
}

/// What the driver does with a connection once its output is written.
package enum Disposition: Hashable, Sendable {
    /// It goes on.
    case open
    /// Everything is said: after the output, close in order (TCP: FIN, then a short wait for the peer's).
    case close
    /// Something is left unsaid: the peer must see a reset, never a clean end.
    case abort
}
