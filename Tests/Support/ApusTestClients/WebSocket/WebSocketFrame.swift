/// A client's frame (RFC 6455 §5.2), right or wrong.
package struct WebSocketFrame: Sendable {
    package enum Opcode {
        package static let continuation: UInt8 = 0x0
        package static let text: UInt8 = 0x1
        package static let binary: UInt8 = 0x2
        package static let close: UInt8 = 0x8
        package static let ping: UInt8 = 0x9
        package static let pong: UInt8 = 0xA
    }

    /// How the length is written.
    package enum LengthForm: Sendable {
        case shortest
        /// 126 and two bytes, whatever the length.
        case two
        /// 127 and eight bytes, whatever the length.
        case eight
    }

    package var opcode: UInt8
    package var payload: [UInt8]
    package var isFinal = true
    /// RSV1 is 4, RSV2 is 2, RSV3 is 1.
    package var reserved: UInt8 = 0
    package var lengthForm = LengthForm.shortest
    /// What the head claims, where that is not the payload's length.
    package var claimedLength: UInt64?
    /// Nil for a frame that is not masked.
    package var mask: [UInt8]? = [0x37, 0xFA, 0x21, 0x3D]

    package init(_ opcode: UInt8, _ payload: [UInt8] = [], fin isFinal: Bool = true, reserved: UInt8 = 0) {
        self.opcode = opcode
        self.payload = payload
        self.isFinal = isFinal
        self.reserved = reserved
    }

    package var encoded: [UInt8] {
        var bytes = [(isFinal ? 0x80 : 0) | reserved << 4 | opcode]
        let length = claimedLength ?? UInt64(payload.count)
        let masked: UInt8 = mask == nil ? 0 : 0x80
        let form: LengthForm =
            switch lengthForm {
            case .shortest: length < 126 ? .shortest : length < 65536 ? .two : .eight
            case .two, .eight: lengthForm
            }
        switch form {
        case .shortest: bytes.append(masked | UInt8(truncatingIfNeeded: length))
        case .two: bytes += [masked | 126] + bigEndian(UInt16(truncatingIfNeeded: length))
        case .eight: bytes += [masked | 127] + bigEndian(length)
        }
        guard let mask else { return bytes + payload }
        return bytes + mask + masking(payload, with: mask)
    }
}

/// A payload under its mask (RFC 6455 §5.3): eight bytes at a time, for some payloads are large.
private func masking(_ payload: [UInt8], with mask: [UInt8]) -> [UInt8] {
    let word = (mask + mask).withUnsafeBytes { $0.loadUnaligned(as: UInt64.self) }
    var bytes = payload
    bytes.withUnsafeMutableBytes { bytes in
        var index = 0
        while index + 8 <= bytes.count {
            let plain = bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self)
            bytes.storeBytes(of: plain ^ word, toByteOffset: index, as: UInt64.self)
            index += 8
        }
        while index < bytes.count {
            bytes[index] ^= mask[index % 4]
            index += 1
        }
    }
    return bytes
}

func bigEndian(_ number: some FixedWidthInteger) -> [UInt8] {
    withUnsafeBytes(of: number.bigEndian) { Array($0) }
}

// MARK: - The usual frames

extension WebSocketFrame {
    package static func text(_ text: String, fin: Bool = true, reserved: UInt8 = 0) -> Self {
        Self(Opcode.text, Array(text.utf8), fin: fin, reserved: reserved)
    }

    package static func text(_ bytes: [UInt8], fin: Bool = true, reserved: UInt8 = 0) -> Self {
        Self(Opcode.text, bytes, fin: fin, reserved: reserved)
    }

    package static func binary(_ bytes: [UInt8], fin: Bool = true, reserved: UInt8 = 0) -> Self {
        Self(Opcode.binary, bytes, fin: fin, reserved: reserved)
    }

    package static func more(_ text: String, fin: Bool = false, reserved: UInt8 = 0) -> Self {
        Self(Opcode.continuation, Array(text.utf8), fin: fin, reserved: reserved)
    }

    package static func more(_ bytes: [UInt8], fin: Bool = false, reserved: UInt8 = 0) -> Self {
        Self(Opcode.continuation, bytes, fin: fin, reserved: reserved)
    }

    package static func last(_ text: String) -> Self { more(text, fin: true) }

    package static func last(_ bytes: [UInt8]) -> Self { more(bytes, fin: true) }

    package static func ping(_ text: String = "") -> Self { Self(Opcode.ping, Array(text.utf8)) }

    package static func pong(_ text: String = "") -> Self { Self(Opcode.pong, Array(text.utf8)) }

    /// A Close frame with its code, or with nothing.
    package static func close(_ code: Int?, _ reason: String = "") -> Self {
        close(code, bytes: Array(reason.utf8))
    }

    package static func close(_ code: Int?, bytes reason: [UInt8]) -> Self {
        Self(Opcode.close, code.map { bigEndian(UInt16(truncatingIfNeeded: $0)) + reason } ?? [])
    }
}

extension WebSocketFrame {
    /// The frame with something changed.
    package func with(_ change: (inout Self) -> Void) -> Self {
        var frame = self
        change(&frame)
        return frame
    }
}

/// A message cut into frames of about the same size.
package func fragments(_ opcode: UInt8, _ payload: [UInt8], _ count: Int, reserved: UInt8 = 0) -> [WebSocketFrame] {
    (0..<count)
        .map { index in
            WebSocketFrame(
                index == 0 ? opcode : WebSocketFrame.Opcode.continuation,
                Array(payload[payload.count * index / count..<payload.count * (index + 1) / count]),
                fin: index == count - 1,
                reserved: index == 0 ? reserved : 0
            )
        }
}
