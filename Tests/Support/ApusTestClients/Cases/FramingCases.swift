/// Lengths, masks, reserved bits and opcodes (RFC 6455 §5.2, §5.3).
enum FramingCases {
    static let all = sizes + lengths + reserved + opcodes

    // MARK: 1. Sizes

    /// Either side of every form of the length.
    private static let counts = [0, 1, 2, 7, 124, 125, 126, 127, 128, 1000, 65_535, 65_536, 65_537, 100_000]

    private static var sizes: [WebSocketCase] {
        counts.map { wsCase("1.1 text of \($0) bytes", [.text(prose($0))], .text(prose($0))) }
            + counts.map { wsCase("1.2 binary of \($0) bytes", [.binary(noise($0))], .binary(noise($0))) }
            + [
                wsCase("1.3 a text of two bytes a character", [.text("äöü")], .text("äöü")),
                wsCase(
                    "1.4 messages in a row",
                    [.text("a"), .binary([1]), .text("b")],
                    .text("a"),
                    .binary([1]),
                    .text("b")
                ),
                WebSocketCase(
                    "1.5 many messages in a row",
                    [.send((0..<200).map { .text("message \($0)") })] + (0..<200).map { .text("message \($0)") }
                ),
                WebSocketCase(
                    "1.6 question and answer",
                    (0..<20).flatMap { [.send(.text("question \($0)")), .text("question \($0)")] }
                ),
            ]
    }

    // MARK: 2. Lengths and masks

    private static var lengths: [WebSocketCase] {
        [
            wsCase("2.1 a mask of zeros", [.text("unmasked").with { $0.mask = [0, 0, 0, 0] }], .text("unmasked")),
            wsCase(
                "2.2 a mask of ones",
                [.text("turned over").with { $0.mask = [255, 255, 255, 255] }],
                .text("turned over")
            ),
            wsCase("2.3 no mask", [.text("plain").with { $0.mask = nil }], .close(1002)),
            wsCase("2.4 an empty frame without a mask", [.text("").with { $0.mask = nil }], .close(1002)),
            wsCase("2.5 a ping without a mask", [.ping("plain").with { $0.mask = nil }], .close(1002)),
            wsCase("2.6 a close without a mask", [.close(1000).with { $0.mask = nil }], .close(1002)),
            WebSocketCase(
                "2.7 a frame without a mask after one with",
                [.send(.text("first")), .text("first"), .send(.text("second").with { $0.mask = nil }), .close(1002)]
            ),
            // RFC 6455 §5.2: the minimal number of bytes MUST be used; servers may be lenient, this one is not.
            wsCase("2.8 a length of 0 in two bytes", [.text("").with { $0.lengthForm = .two }], .close(1002)),
            wsCase("2.9 a length of 125 in two bytes", [.text(prose(125)).with { $0.lengthForm = .two }], .close(1002)),
            wsCase("2.10 a length of 5 in eight bytes", [.text("Hello").with { $0.lengthForm = .eight }], .close(1002)),
            wsCase(
                "2.11 a length of 65535 in eight bytes",
                [.binary(noise(65_535)).with { $0.lengthForm = .eight }],
                .close(1002)
            ),
            wsCase(
                "2.12 a length with its highest bit set",
                [.binary([]).with { $0.claimedLength = 1 << 63 }],
                .close(1002)
            ),
            wsCase("2.13 a length of 2^63 - 1", [.binary([]).with { $0.claimedLength = 1 << 63 - 1 }], .close(1009)),
            wsCase("2.14 a ping with a length in two bytes", [.ping("x").with { $0.lengthForm = .two }], .close(1002)),
        ]
    }

    // MARK: 3. Reserved bits

    private static var reserved: [WebSocketCase] {
        (1...7).map { wsCase("3.1 text with reserved bits \($0)", [.text("x", reserved: UInt8($0))], .close(1002)) }
            + (1...7)
            .map { bits in
                WebSocketCase(
                    "3.2 a message, then one with reserved bits \(bits), then more",
                    [
                        .send(.text("good")), .text("good"),
                        .send(.text("bad", reserved: UInt8(bits)), .ping("late"), .text("late")), .close(1002),
                    ]
                )
            }
            + (1...7)
            .map { wsCase("3.3 a ping with reserved bits \($0)", [.ping("x").with(reserved: $0)], .close(1002)) }
            + (1...7)
            .map { wsCase("3.4 a close with reserved bits \($0)", [.close(1000).with(reserved: $0)], .close(1002)) }
            + (1...7)
            .map { bits in
                wsCase(
                    "3.5 a continuation with reserved bits \(bits)",
                    [.text("a", fin: false), .last("b").with(reserved: bits)],
                    .close(1002)
                )
            }
            + (1...3)
            .map { bits in
                WebSocketCase(
                    "3.6 reserved bits \(bits) where RSV1 has its use",
                    offer: "permessage-deflate",
                    [.send(.text("x", reserved: UInt8(bits))), .close(1002)]
                )
            }
            + [
                wsCase(
                    "3.7 a fault in one write with a message",
                    [.text("good"), .text("bad", reserved: 4)],
                    .maybe(.text(Array("good".utf8))),
                    .close(1002)
                )
            ]
    }

    // MARK: 4. Opcodes

    private static var opcodes: [WebSocketCase] {
        let unknown: [UInt8] = [3, 4, 5, 6, 7, 11, 12, 13, 14, 15]
        return unknown.map { wsCase("4.1 opcode \($0)", [WebSocketFrame($0)], .close(1002)) }
            + unknown.map { wsCase("4.2 opcode \($0) with a payload", [WebSocketFrame($0, noise(20))], .close(1002)) }
            + unknown.map { opcode in
                WebSocketCase(
                    "4.3 a message, then opcode \(opcode), then a ping",
                    [
                        .send(.text("good")), .text("good"),
                        .send(WebSocketFrame(opcode, noise(3)), .ping("late")), .close(1002),
                    ]
                )
            }
            + unknown.map { opcode in
                wsCase(
                    "4.4 opcode \(opcode) among fragments",
                    [.text("a", fin: false), WebSocketFrame(opcode), .last("b")],
                    .close(1002)
                )
            }
    }
}

extension WebSocketFrame {
    fileprivate func with(reserved bits: Int) -> Self {
        with { $0.reserved = UInt8(bits) }
    }
}
