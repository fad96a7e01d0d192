/// Text that is UTF-8 or is not (RFC 3629, RFC 6455 §8.1).
enum UTF8Cases {
    static let all = whole + invalid + failFast

    /// What is not UTF-8: `start` ends with the byte at which that is certain, and `rest` would follow.
    struct Broken {
        let name: String
        let start: [UInt8]
        var rest: [UInt8] = []

        var bytes: [UInt8] { start + rest }
    }

    // MARK: 12. What is valid

    private static let valid: [(String, [UInt8])] = [
        ("many scripts", Array("Hello-µ@ßöäüàá-UTF-8!! κόσμε Ω≈ç√ 世界 👋🏽".utf8)),
        ("the first of one byte", [0x00]),
        ("the last of one byte", [0x7F]),
        ("the first of two bytes", [0xC2, 0x80]),
        ("the last of two bytes", [0xDF, 0xBF]),
        ("the first of three bytes", [0xE0, 0xA0, 0x80]),
        ("the last before the surrogates", [0xED, 0x9F, 0xBF]),
        ("the first behind the surrogates", [0xEE, 0x80, 0x80]),
        ("the replacement character", [0xEF, 0xBF, 0xBD]),
        ("a noncharacter U+FFFE", [0xEF, 0xBF, 0xBE]),
        ("the last of three bytes", [0xEF, 0xBF, 0xBF]),
        ("a byte order mark", [0xEF, 0xBB, 0xBF]),
        ("the first of four bytes", [0xF0, 0x90, 0x80, 0x80]),
        ("a noncharacter U+1FFFE", [0xF0, 0x9F, 0xBF, 0xBE]),
        ("the last but one plane", [0xF3, 0xBF, 0xBF, 0xBF]),
        ("the last of all", [0xF4, 0x8F, 0xBF, 0xBF]),
        ("a composed and a decomposed letter", Array("\u{E9}e\u{301}".utf8)),
        ("characters across eight bytes", Array("1234567é89012345世6789012345👋".utf8)),
    ]

    private static var whole: [WebSocketCase] {
        valid.map { wsCase("12.1 \($0.0)", [.text($0.1)], .text($0.1)) }
            + valid.map { wsCase("12.2 \($0.0), a frame for each byte", bytewise($0.1), .text($0.1)) }
            + valid.map { name, bytes in
                let long = prose(33) + bytes + prose(200) + bytes
                return wsCase("12.3 \(name) within a longer text", fragments(1, long, 7), .text(long))
            }
            + [
                WebSocketCase(
                    "12.4 a ping within a character",
                    [
                        .send(.text([0xF0, 0x9F], fin: false), .ping("within")), .pong("within"),
                        .send(.last([0x91, 0x8B])), .text("👋"),
                    ]
                ),
                wsCase("12.5 binary that is no UTF-8", [.binary([0xFF, 0xFE, 0xC0])], .binary([0xFF, 0xFE, 0xC0])),
                wsCase(
                    "12.6 binary that is no UTF-8, in fragments",
                    bytewise([0xED, 0xA0, 0x80], 2),
                    .binary([0xED, 0xA0, 0x80])
                ),
            ]
    }

    // MARK: 13. What is not

    static let broken: [Broken] = [
        Broken(name: "a lone continuation byte 80", start: [0x80]),
        Broken(name: "a lone continuation byte BF", start: [0xBF]),
        Broken(name: "continuation bytes only", start: [0x80], rest: [0xBF, 0x80, 0xBF, 0x80]),
        Broken(name: "C0", start: [0xC0], rest: [0x80]),
        Broken(name: "C1", start: [0xC1], rest: [0xBF]),
        Broken(name: "an overlong slash in two bytes", start: [0xC0], rest: [0xAF]),
        Broken(name: "an overlong slash in three bytes", start: [0xE0, 0x80], rest: [0xAF]),
        Broken(name: "an overlong slash in four bytes", start: [0xF0, 0x80], rest: [0x80, 0xAF]),
        Broken(name: "an overlong U+07FF", start: [0xE0, 0x9F], rest: [0xBF]),
        Broken(name: "an overlong U+FFFF", start: [0xF0, 0x8F], rest: [0xBF, 0xBF]),
        Broken(name: "the first surrogate", start: [0xED, 0xA0], rest: [0x80]),
        Broken(name: "the last surrogate", start: [0xED, 0xBF], rest: [0xBF]),
        Broken(name: "a pair of surrogates", start: [0xED, 0xA0], rest: [0xBD, 0xED, 0xB8, 0x80]),
        Broken(name: "U+110000", start: [0xF4, 0x90], rest: [0x80, 0x80]),
        Broken(name: "F5", start: [0xF5], rest: [0x80, 0x80, 0x80]),
        Broken(name: "five bytes", start: [0xF8], rest: [0x88, 0x80, 0x80, 0x80]),
        Broken(name: "six bytes", start: [0xFC], rest: [0x84, 0x80, 0x80, 0x80, 0x80]),
        Broken(name: "FE", start: [0xFE]),
        Broken(name: "FF", start: [0xFF]),
        Broken(name: "two bytes cut by a letter", start: [0xC3, 0x28]),
        Broken(name: "three bytes cut by a letter", start: [0xE2, 0x28], rest: [0xA1]),
        Broken(name: "three bytes cut late by a letter", start: [0xE2, 0x82, 0x28]),
        Broken(name: "four bytes cut by a letter", start: [0xF0, 0x28], rest: [0x8C, 0xBC]),
        Broken(name: "four bytes cut in the middle", start: [0xF0, 0x90, 0x28], rest: [0xBC]),
        Broken(name: "four bytes cut late", start: [0xF0, 0x9F, 0x91, 0x28]),
        Broken(name: "a second start in place of a continuation", start: [0xE2, 0xC3], rest: [0xA9]),
        Broken(name: "the windows code page", start: Array("na".utf8) + [0xEF, 0x76], rest: Array("e".utf8)),
        Broken(
            name: "what is broken far behind",
            start: prose(90) + [0xC3, 0xA9, 0xED, 0xA0],
            rest: [0x80] + prose(20)
        ),
    ]

    /// Characters that never end.
    private static let cut: [(String, [UInt8])] = [
        ("one byte of two", [0xC3]), ("one byte of three", [0xE2]), ("two bytes of three", [0xE2, 0x82]),
        ("one byte of four", [0xF0]), ("two bytes of four", [0xF0, 0x9F]), ("three bytes of four", [0xF0, 0x9F, 0x91]),
        ("three bytes of four behind a text", Array("Hello ".utf8) + [0xF0, 0x9F, 0x91]),
    ]

    private static var invalid: [WebSocketCase] {
        broken.map { wsCase("13.1 \($0.name)", [.text($0.bytes)], .close(1007)) }
            + broken.map {
                wsCase(
                    "13.2 \($0.name), in longer text",
                    [.text(Array("κόσμε".utf8) + $0.bytes + Array("more".utf8))],
                    .close(1007)
                )
            }
            + broken.map { wsCase("13.3 \($0.name), a frame for each byte", bytewise($0.bytes), .close(1007)) }
            + cut.map { wsCase("13.4 \($0.0) at the end", [.text($0.1)], .close(1007)) }
            + cut.map { wsCase("13.5 \($0.0) at the end of fragments", bytewise($0.1), .close(1007)) }
            + cut.map {
                wsCase("13.6 \($0.0), then an empty fragment", [.text($0.1, fin: false), .last("")], .close(1007))
            }
    }

    // MARK: 14. Told before the message ends

    private static var failFast: [WebSocketCase] {
        broken.map { broken in
            // The frame goes on, but what has come is enough.
            let frame = WebSocketFrame.text(broken.bytes + noise(8)).encoded
            return WebSocketCase(
                "14.1 \(broken.name), told within the frame",
                [.bytes(Array(frame.prefix(6 + broken.start.count))), .close(1007)]
            )
        }
            + broken.map { broken in
                wsCase(
                    "14.2 \(broken.name), told before the last fragment",
                    bytewise(broken.start).map { $0.with { $0.isFinal = false } },
                    .close(1007)
                )
            }
            + broken.map { broken in
                WebSocketCase(
                    "14.3 \(broken.name), told in the second fragment",
                    [
                        .send(.text("κόσμε", fin: false), .ping("fine so far")), .pong("fine so far"),
                        .send(.more(broken.start)), .close(1007),
                    ]
                )
            }
    }

    /// A frame for each byte.
    private static func bytewise(_ bytes: [UInt8], _ opcode: UInt8 = WebSocketFrame.Opcode.text) -> [WebSocketFrame] {
        fragments(opcode, bytes, bytes.count)
    }
}
