/// permessage-deflate at the hands of a client that breaks its rules.
enum DeflateFaultCases {
    static let all = bits + data + limits

    private static let text = WebSocketFrame.Opcode.text
    private static let binary = WebSocketFrame.Opcode.binary

    private static func deflating(_ name: String, _ steps: WebSocketCase.Step...) -> WebSocketCase {
        WebSocketCase(name, offer: "permessage-deflate", steps)
    }

    // MARK: 21. RSV1 where it must not be (RFC 7692 §6.1)

    private static var bits: [WebSocketCase] {
        let hello: [UInt8] = [0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00]
        let (start, rest) = (Array(hello.prefix(3)), Array(hello.dropFirst(3)))
        return [
            deflating(
                "21.1 on a continuation of a compressed message",
                .send(.text(start, fin: false, reserved: 4), .more(rest, fin: true, reserved: 4)),
                .close(1002)
            ),
            deflating(
                "21.2 on a continuation of a plain message",
                .send(.text("plain", fin: false), .more(hello, fin: true, reserved: 4)),
                .close(1002)
            ),
            deflating("21.3 on a ping", .send(.ping("p").with { $0.reserved = 4 }), .close(1002)),
            deflating("21.4 on a pong", .send(.pong("p").with { $0.reserved = 4 }), .close(1002)),
            deflating("21.5 on a close", .send(.close(1000).with { $0.reserved = 4 }), .close(1002)),
            deflating("21.6 with RSV2", .send(.text(hello, reserved: 6)), .close(1002)),
            deflating("21.7 with RSV3", .send(.text(hello, reserved: 5)), .close(1002)),
            deflating(
                "21.8 on a continuation without a start",
                .send(.more(hello, fin: true, reserved: 4)),
                .close(1002)
            ),
            deflating(
                "21.9 on a text within a compressed text",
                .send(.text(start, fin: false, reserved: 4), .text(hello, reserved: 4)),
                .close(1002)
            ),
            WebSocketCase("21.10 where nothing was offered", [.send(.text(hello, reserved: 4)), .close(1002)]),
        ]
    }

    // MARK: 22. Data

    /// A match of what only the compressor's dictionary had.
    private static let farBack: [UInt8] = [0xC2, 0xAF, 0x0A, 0x00]

    private static let broken: [(String, [UInt8])] = [
        ("a block of no kind", [0x07]),
        ("only ones", [0xFF, 0xFF, 0xFF, 0xFF, 0xFF]),
        ("a length that its complement belies", [0x00, 0x05, 0x00, 0x00, 0x00] + Array("Hello".utf8)),
        ("codes that do not add up", [0x05] + [UInt8](repeating: 0xFF, count: 8)),
        ("a match before the beginning", farBack),
        ("what is no deflate data", prose(300)),
    ]

    private static var data: [WebSocketCase] {
        broken.map { deflating("22.1 \($0.0)", .send(.binary($0.1, reserved: 4)), .close(1007)) }
            + broken.map { name, bytes in
                deflating(
                    "22.2 \(name), in fragments",
                    .send(fragments(text, bytes, min(7, bytes.count), reserved: 4)),
                    .close(1007)
                )
            }
            // Behind a message there is something to reach back to.
            + broken.filter { $0.1 != farBack }
            .map { name, bytes in
                deflating(
                    "22.3 a good message, then \(name)",
                    .deflated(text, prose(200), fragments: 2),
                    .text(prose(200)),
                    .send(.binary(bytes, reserved: 4)),
                    .close(1007)
                )
            }
            + UTF8Cases.broken.map {
                deflating(
                    "22.4 text with \($0.name)",
                    .deflated(text, Array("κόσμε".utf8) + $0.bytes, fragments: 1),
                    .close(1007)
                )
            }
            + [
                deflating(
                    "22.5 data that end within a block",
                    .send(.binary([0xF2, 0x48, 0xCD], reserved: 4)),
                    .close(1007)
                ),
                // More is missing than the four bytes that each message is thought to end with.
                deflating(
                    "22.6 data that end within a stored block",
                    .send(.binary([0x00, 0x09, 0x00, 0xF6, 0xFF, 0x48], reserved: 4)),
                    .close(1007)
                ),
                deflating(
                    "22.7 a context that was not to be kept",
                    .send(.text([0xF2, 0x00, 0x11, 0x00, 0x00], reserved: 4)),
                    .close(1007)
                ),
                deflating(
                    "22.8 text cut within a character",
                    .deflated(text, [0x61, 0xE2, 0x82], fragments: 2),
                    .close(1007)
                ),
            ]
    }

    // MARK: 23. Limits after inflation

    private static var limits: [WebSocketCase] {
        let size = TableLimits.messageSize
        let zeros = [UInt8](repeating: 0, count: 20_000_000)
        return [
            deflating("23.1 the longest message", .deflated(text, prose(size), fragments: 1), .text(prose(size))),
            deflating("23.2 a message one byte too long", .deflated(text, prose(size + 1), fragments: 1), .close(1009)),
            deflating(
                "23.3 a message one byte too long, in fragments",
                .deflated(text, prose(size + 1), fragments: 20),
                .close(1009)
            ),
            deflating(
                "23.4 a binary one byte too long",
                .deflated(binary, noise(size + 1), fragments: 2),
                .close(1009)
            ),
            deflating("23.5 twenty million zeros", .deflated(binary, zeros, fragments: 1), .close(1009)),
            deflating("23.6 twenty million zeros in fragments", .deflated(text, zeros, fragments: 50), .close(1009)),
            deflating(
                "23.7 a good message, then twenty million zeros, then more",
                .deflated(text, prose(200), fragments: 2),
                .text(prose(200)),
                .deflated(binary, zeros, fragments: 1),
                .send(.text("late"), .ping()),
                .close(1009)
            ),
        ]
    }
}
