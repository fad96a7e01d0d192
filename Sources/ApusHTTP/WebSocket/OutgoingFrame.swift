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
