import ApusGateway

/// A frame of ours: unmasked, as a server's are (RFC 6455 §5.1).
struct OutgoingFrame {
    /// Payloads up to this size are copied behind their head: one piece of memory, and what a connection's output would
    /// copy anyway.
    static let inlineLimit = OutputBuffer.inlineLimit

    /// The head, and a small payload behind it.
    let head: Bytes
    /// A large payload, by reference; nil where the head has it.
    let payload: Bytes?

    init(_ opcode: FrameOpcode, isFinal: Bool = true, isCompressed: Bool = false, payload: Bytes) {
        if payload.count <= Self.inlineLimit {
            self.init(opcode, isFinal: isFinal, isCompressed: isCompressed, copying: payload.memory)
        } else {
            let head = Self.head(opcode, isFinal, isCompressed, copying: nil, count: payload.count)
            self.init(head: head, payload: payload)
        }
    }

    /// A frame in one piece, whatever its size.
    init(
        _ opcode: FrameOpcode,
        isFinal: Bool = true,
        isCompressed: Bool = false,
        copying payload: UnsafeRawBufferPointer
    ) {
        let head = Self.head(opcode, isFinal, isCompressed, copying: payload, count: payload.count)
        self.init(head: head, payload: nil)
    }

    private init(head: Bytes, payload: Bytes?) {
        self.head = head
        self.payload = payload
    }

    /// RFC 6455 §5.2.
    private static func head(
        _ opcode: FrameOpcode,
        _ isFinal: Bool,
        _ isCompressed: Bool,
        copying payload: UnsafeRawBufferPointer?,
        count: Int
    ) -> Bytes {
        let headLength = count < 126 ? 2 : count <= 0xFFFF ? 4 : 10
        return Bytes(count: headLength + (payload?.count ?? 0)) { target in
            target[0] = (isFinal ? 0x80 : 0) | (isCompressed ? 0x40 : 0) | opcode.rawValue
            switch headLength {
            case 2:
                target[1] = UInt8(count)
            case 4:
                target[1] = 126
                target.storeBytes(of: UInt16(count).bigEndian, toByteOffset: 2, as: UInt16.self)
            default:
                target[1] = 127
                target.storeBytes(of: UInt64(count).bigEndian, toByteOffset: 2, as: UInt64.self)
            }
            if let payload {
                UnsafeMutableRawBufferPointer(rebasing: target[headLength...]).copyMemory(from: payload)
            }
        }
    }
}

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
