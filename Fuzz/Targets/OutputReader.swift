import ApusHTTP

/// Reads a server's frames as a strict client does (RFC 6455 §5), and compares them with what was sent.
struct OutputReader {
    /// Whether a Close frame came; it is then the last frame.
    private(set) var hasClosed = false
    private let setup: FuzzSetup
    private var messages: [FuzzApplication.Message] = []
    /// The message under way, its payload as it came.
    private var underWay: (isText: Bool, isCompressed: Bool, payload: [UInt8])?
    private let inflater: PeerInflater
    private let sent: [FuzzApplication.Message]

    init(_ output: [UInt8], _ setup: FuzzSetup, _ sent: [FuzzApplication.Message]) throws(FuzzFinding) {
        self.setup = setup
        self.sent = sent
        inflater = PeerInflater(
            windowBits: setup.deflate?.serverMaxWindowBits ?? 15,
            keepsContext: setup.deflate?.serverNoContextTakeover != true
        )
        var position = 0
        while position < output.count {
            let frame = try FuzzFrames.Frame(output[position...])
            position += frame.size
            try read(frame)
        }
        try promise(messages.elementsEqual(sent.prefix(messages.count)), "what is sent arrives, in order")
    }

    /// Messages that came whole.
    var messageCount: Int { messages.count }

    private mutating func read(_ frame: FuzzFrames.Frame) throws(FuzzFinding) {
        try promise(!hasClosed, "a Close frame is the last")
        try promise(frame.first & 0x30 == 0, "reserved bits are 0")
        let opcode = frame.first & 0x0F
        switch opcode {
        case 0x8...0xA:
            try promise(frame.payload.count <= 125 && frame.first & 0xC0 == 0x80, "control frames are small and whole")
            hasClosed = opcode == 0x8
            try promise(opcode != 0x8 || frame.payload.count != 1, "a Close frame has a whole code")
            if opcode == 0x8 { try checkReason(frame.payload.dropFirst(2)) }
        case 0x0...0x2:
            try readFragment(frame, opcode)
        default:
            throw FuzzFinding("an unknown opcode")
        }
    }

    private func checkReason(_ reason: ArraySlice<UInt8>) throws(FuzzFinding) {
        try promise(String(validating: reason, as: UTF8.self) != nil, "a reason is UTF-8")
    }

    private mutating func readFragment(_ frame: FuzzFrames.Frame, _ opcode: UInt8) throws(FuzzFinding) {
        try promise((opcode == 0) == (underWay != nil), "a continuation continues, anything else begins")
        let isCompressed = frame.first & 0x40 != 0
        try promise(!isCompressed || setup.deflate != nil && opcode != 0, "RSV1 stands where it may")
        var message = underWay ?? (opcode == 1, isCompressed, [])
        underWay = nil
        message.payload += frame.payload
        underWay = message
        guard frame.first & 0x80 != 0 else { return }
        underWay = nil
        messages.append(FuzzApplication.Message(isText: message.isText, bytes: try inflated(message)))
    }

    private func inflated(
        _ message: (isText: Bool, isCompressed: Bool, payload: [UInt8])
    ) throws(FuzzFinding) -> [UInt8] {
        guard message.isCompressed else { return message.payload }
        let size = messages.count < sent.count ? sent[messages.count].bytes.count : 0
        guard let bytes = inflater.message(message.payload, most: size) else {
            throw FuzzFinding("what we compress cannot be inflated")
        }
        return bytes
    }
}

/// Frames as they are on the wire.
enum FuzzFrames {
    /// The bytes of a frame's head that say how long it is (RFC 6455 §5.2).
    static func length(_ count: Int, mask: UInt8) -> [UInt8] {
        switch count {
        case ..<126: [mask | UInt8(count)]
        case ...0xFFFF: [mask | 126, UInt8(count >> 8), UInt8(count & 255)]
        default: [mask | 127] + (0..<8).map { UInt8(count >> (56 - 8 * $0) & 255) }
        }
    }

    /// A frame of a server's.
    struct Frame {
        let first: UInt8
        let payload: [UInt8]
        let size: Int

        init(_ bytes: ArraySlice<UInt8>) throws(FuzzFinding) {
            let head = Array(bytes.prefix(10))
            try promise(head.count >= 2 && head[1] & 0x80 == 0, "a server's frame is not masked")
            let lengthCount = [126: 2, 127: 8][head[1]] ?? 0
            try promise(head.count >= 2 + lengthCount, "a frame has its whole head")
            let extended = head[2..<2 + lengthCount].reduce(0) { $0 << 8 | Int($1) }
            let count = lengthCount == 0 ? Int(head[1]) : extended
            try promise(
                FuzzFrames.length(count, mask: 0).count == 1 + lengthCount,
                "a length is as short as it can be"
            )
            first = head[0]
            payload = Array(bytes.dropFirst(2 + lengthCount).prefix(count))
            size = 2 + lengthCount + count
            try promise(payload.count == count, "a frame is whole")
        }
    }
}
