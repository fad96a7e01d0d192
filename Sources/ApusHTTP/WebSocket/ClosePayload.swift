import ApusGateway

/// What a Close frame says (RFC 6455 §5.5.1).
struct ClosePayload {
    /// The longest reason, in bytes: a control frame has 125, and two are the code.
    static let maxReason = FrameHeader.maxControlPayload - 2

    /// 1005 where the frame says nothing.
    let code: WebSocketCloseCode
    let reason: String

    init(_ code: WebSocketCloseCode, reason: String) {
        self.code = code
        self.reason = reason
    }

    /// Reads the peer's.
    init(_ bytes: UnsafeRawBufferPointer) throws(WebSocketFault) {
        guard bytes.count > 0 else {
            self.init(.noStatusReceived, reason: "")
            return
        }
        // RFC 6455 §5.5.1: where there is a body, its first two bytes are the code.
        guard bytes.count >= 2 else { throw .invalidClosePayload }
        let code = WebSocketCloseCode(rawValue: Int(bytes[0]) << 8 | Int(bytes[1]))
        // RFC 6455 §7.4: codes that must not be in a frame, and codes that nobody has defined.
        guard code.isSendable else { throw .invalidCloseCode }
        let text = UnsafeRawBufferPointer(rebasing: bytes[2...])
        // RFC 6455 §5.5.1 and §8.1.
        guard let reason = String(validating: text, as: UTF8.self) else { throw .invalidCloseReason }
        self.init(code, reason: reason)
    }

    /// The frame; without a code where it has one that may not be sent, its reason cut to what fits.
    var frame: OutgoingFrame {
        guard code.isSendable else { return OutgoingFrame(.close, payload: Bytes()) }
        var payload = [UInt8(truncatingIfNeeded: code.rawValue >> 8), UInt8(truncatingIfNeeded: code.rawValue)]
        payload.append(contentsOf: fittingReason)
        return payload.withUnsafeBytes { OutgoingFrame(.close, copying: $0) }
    }

    private var fittingReason: Substring.UTF8View {
        let utf8 = reason.utf8
        guard utf8.count > Self.maxReason else { return reason[...].utf8 }
        var end = utf8.index(utf8.startIndex, offsetBy: Self.maxReason)
        // Back to the start of a character.
        while end > utf8.startIndex, utf8[end] & 0xC0 == 0x80 { end = utf8.index(before: end) }
        return reason[..<end].utf8
    }
}
