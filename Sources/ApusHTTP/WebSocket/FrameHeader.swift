/// What a frame is (RFC 6455 §5.2).
enum FrameOpcode: UInt8 {
    case continuation = 0x0
    case text = 0x1
    case binary = 0x2
    case close = 0x8
    case ping = 0x9
    case pong = 0xA

    var isControl: Bool { rawValue & 0x8 != 0 }
}

/// The head of a frame from the client, checked by itself (RFC 6455 §5.2).
struct FrameHeader {
    /// The longest payload of a control frame (RFC 6455 §5.5).
    static let maxControlPayload = 125

    let opcode: FrameOpcode
    /// FIN: the last frame of its message.
    let isFinal: Bool
    /// RSV1: the message that begins here is compressed (RFC 7692 §6).
    let isCompressed: Bool
    /// The payload's length as announced: nothing is allocated by it.
    let count: Int
    let key: MaskKey
}

/// Reads the heads of frames, also where they come in pieces.
struct FrameHeaderDecoder {
    /// Whether RSV1 has a meaning: permessage-deflate was agreed on.
    let allowsCompression: Bool
    /// The beginning of a head whose rest has not come; empty, without memory, otherwise.
    private var partial: [UInt8] = []

    init(allowsCompression: Bool) {
        self.allowsCompression = allowsCompression
    }

    /// Reads a head off the front of the input, and says how many bytes it used; nil where more are needed (then it used
    /// them all).
    mutating func decode(
        _ input: UnsafeRawBufferPointer,
        used: inout Int
    ) throws(WebSocketFault) -> FrameHeader? {
        if partial.isEmpty, let length = try headLength(input), input.count >= length {
            used = length
            return try header(UnsafeRawBufferPointer(rebasing: input[..<length]))
        }
        return try decodeByByte(input, used: &used)
    }

    private mutating func decodeByByte(
        _ input: UnsafeRawBufferPointer,
        used: inout Int
    ) throws(WebSocketFault) -> FrameHeader? {
        while used < input.count {
            partial.append(input[used])
            used += 1
            let found = partial.withUnsafeBytes { bytes in
                Result { () throws(WebSocketFault) in try whole(bytes) }
            }
            if let header = try found.get() {
                partial = []
                return header
            }
        }
        return nil
    }

    /// The head that these bytes are; nil where they are its beginning.
    private func whole(_ bytes: UnsafeRawBufferPointer) throws(WebSocketFault) -> FrameHeader? {
        guard let length = try headLength(bytes), bytes.count == length else { return nil }
        return try header(bytes)
    }

    /// How long the head is, by its first two bytes; nil where they have not come. Finds what is wrong with them.
    private func headLength(_ bytes: UnsafeRawBufferPointer) throws(WebSocketFault) -> Int? {
        guard bytes.count >= 2 else { return nil }
        // RFC 6455 §5.2: RSV2 and RSV3 are 0 unless an extension defines them; none does.
        guard bytes[0] & 0x30 == 0 else { throw .reservedBits }
        guard let opcode = FrameOpcode(rawValue: bytes[0] & 0x0F) else { throw .unknownOpcode }
        if bytes[0] & 0x40 != 0 {
            // RFC 7692 §6.1: RSV1 stands on the first frame of a message alone.
            guard allowsCompression, opcode == .text || opcode == .binary else { throw .reservedBits }
        }
        // RFC 6455 §5.1: a server closes on a frame that is not masked.
        guard bytes[1] & 0x80 != 0 else { throw .unmaskedFrame }
        let shortLength = bytes[1] & 0x7F
        if opcode.isControl {
            // RFC 6455 §5.5: at most 125 bytes, and never fragmented.
            guard shortLength <= FrameHeader.maxControlPayload, bytes[0] & 0x80 != 0 else {
                throw .invalidControlFrame
            }
        }
        switch shortLength {
        case 126: return 2 + 2 + 4
        case 127: return 2 + 8 + 4
        default: return 2 + 4
        }
    }

    /// Reads a whole head that ``headLength(_:)`` has approved.
    private func header(_ bytes: UnsafeRawBufferPointer) throws(WebSocketFault) -> FrameHeader {
        guard let opcode = FrameOpcode(rawValue: bytes[0] & 0x0F) else { throw .unknownOpcode }
        return FrameHeader(
            opcode: opcode,
            isFinal: bytes[0] & 0x80 != 0,
            isCompressed: bytes[0] & 0x40 != 0,
            count: try payloadLength(bytes),
            key: MaskKey(bytes.loadUnaligned(fromByteOffset: bytes.count - 4, as: UInt32.self))
        )
    }

    private func payloadLength(_ bytes: UnsafeRawBufferPointer) throws(WebSocketFault) -> Int {
        switch bytes[1] & 0x7F {
        case 126:
            let length = Int(UInt16(bigEndian: bytes.loadUnaligned(fromByteOffset: 2, as: UInt16.self)))
            // RFC 6455 §5.2: the minimal number of bytes encodes the length.
            guard length >= 126 else { throw .invalidLength }
            return length
        case 127:
            let length = UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 2, as: UInt64.self))
            // RFC 6455 §5.2: the most significant bit is 0, and the encoding minimal.
            guard let length = Int(exactly: length), length > 0xFFFF else { throw .invalidLength }
            return length
        case let length:
            return Int(length)
        }
    }
}
