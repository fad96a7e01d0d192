/// Tells HTTP/2 with prior knowledge from HTTP/1 by the first bytes of a connection (RFC 9113 §3.4).
package enum ProtocolPreface: Hashable, Sendable {
    case http1
    case http2
    /// More bytes are needed.
    case undecided

    /// What the client's preface of HTTP/2 is.
    private static let http2Preface: StaticString = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

    /// - Parameter bytes: Everything that has arrived so far.
    package static func classify(_ bytes: UnsafeRawBufferPointer) -> ProtocolPreface {
        let preface = UnsafeRawBufferPointer(start: http2Preface.utf8Start, count: http2Preface.utf8CodeUnitCount)
        for (byte, wanted) in zip(bytes, preface) where byte != wanted { return .http1 }
        return bytes.count >= preface.count ? .http2 : .undecided
    }
}
