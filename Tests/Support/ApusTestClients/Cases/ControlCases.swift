/// Pings, pongs and fragments (RFC 6455 §5.4, §5.5).
enum ControlCases {
    static let all = pings + fragmented + disorder

    private static func pong(_ bytes: [UInt8]) -> WebSocketReply { .pong(bytes) }

    // MARK: 5. Pings and pongs

    private static var pings: [WebSocketCase] {
        [0, 1, 5, 124, 125]
            .map { count in
                WebSocketCase(
                    "5.1 a ping of \(count) bytes",
                    [
                        .send(WebSocketFrame(WebSocketFrame.Opcode.ping, noise(count))),
                        .expect(.reply(pong(noise(count)))),
                    ]
                )
            }
            + [126, 127, 1000, 65_536]
            .flatMap { count in
                [
                    wsCase("5.2 a ping of \(count) bytes", [WebSocketFrame(9, noise(count))], .close(1002)),
                    wsCase("5.3 a pong of \(count) bytes", [WebSocketFrame(10, noise(count))], .close(1002)),
                    wsCase(
                        "5.4 a close of \(count) bytes",
                        [WebSocketFrame(8, [3, 232] + noise(count - 2))],
                        .close(1002)
                    ),
                ]
            }
            + [
                wsCase("5.5 a pong that nobody asked for", [.pong(), .text("x")], .text("x")),
                wsCase("5.6 a pong with a payload, then a ping", [.pong("unasked"), .ping("asked")], .pong("asked")),
                wsCase("5.7 a ping without its last fragment", [.ping("x").with { $0.isFinal = false }], .close(1002)),
                wsCase("5.8 a pong without its last fragment", [.pong("x").with { $0.isFinal = false }], .close(1002)),
                wsCase(
                    "5.9 a close without its last fragment",
                    [.close(1000).with { $0.isFinal = false }],
                    .close(1002)
                ),
                wsCase(
                    "5.10 a ping and its continuation",
                    [.ping("x").with { $0.isFinal = false }, .last("y")],
                    .close(1002)
                ),
                wsCase(
                    "5.11 the longest ping between fragments",
                    [.text("a", fin: false), WebSocketFrame(9, noise(125)), .last("b")],
                    .expect(.reply(pong(noise(125)))),
                    .text("ab")
                ),
                WebSocketCase(
                    "5.12 ten pings in one write: at least the last is answered",
                    [.send((1...10).map { .ping("payload \($0)") })]
                        + (1...9).map { .maybe(pong(Array("payload \($0)".utf8))) } + [.pong("payload 10")]
                ),
                WebSocketCase(
                    "5.13 a hundred pings, each answered",
                    (0..<100).flatMap { [.send(.ping("payload \($0)")), .pong("payload \($0)")] }
                ),
            ]
    }

    // MARK: 6. Fragments

    private static var fragmented: [WebSocketCase] {
        [
            wsCase(
                "6.1 a text in two",
                [.text("fragment1", fin: false), .last("fragment2")],
                .text("fragment1fragment2")
            ),
            wsCase("6.2 a text in two, the first empty", [.text("", fin: false), .last("b")], .text("b")),
            wsCase("6.3 a text in two, the last empty", [.text("a", fin: false), .last("")], .text("a")),
            wsCase(
                "6.4 a text of empty fragments",
                [.text("", fin: false), .more(""), .more(""), .last("")],
                .text("")
            ),
            wsCase("6.5 a binary of empty fragments", [.binary([], fin: false), .last([])], .binary([])),
            wsCase(
                "6.6 a text in three, the middle empty",
                [.text("a", fin: false), .more(""), .last("b")],
                .text("ab")
            ),
            wsCase("6.7 a ping between", [.text("a", fin: false), .ping("p"), .last("b")], .pong("p"), .text("ab")),
            wsCase("6.8 a pong between", [.text("a", fin: false), .pong("p"), .last("b")], .text("ab")),
            wsCase(
                "6.9 pings between all fragments",
                [.text("a", fin: false), .ping("1"), .more("b"), .ping("2"), .more("c"), .ping("3"), .last("d")],
                .maybe(pong([0x31])),
                .maybe(pong([0x32])),
                .pong("3"),
                .text("abcd")
            ),
            WebSocketCase(
                "6.10 a ping between is answered before the message ends",
                [.send(.text("a", fin: false), .ping("now")), .pong("now"), .send(.last("b")), .text("ab")]
            ),
            wsCase(
                "6.11 two texts, both in fragments",
                [.text("a", fin: false), .last("b"), .text("c", fin: false), .last("d")],
                .text("ab"),
                .text("cd")
            ),
            wsCase(
                "6.12 a text, then a binary, both in fragments",
                [.text("a", fin: false), .last("b"), .binary([1], fin: false), .last([2])],
                .text("ab"),
                .binary([1, 2])
            ),
            WebSocketCase(
                "6.13 a close between fragments",
                sees: 1000,
                [.send(.text("a", fin: false), .close(1000)), .close(1000)]
            ),
            WebSocketCase(
                "6.14 a fragment, then the end",
                sees: 1006,
                [.send(.text("a", fin: false)), .end, .expect(.over)]
            ),
        ]
            + [2, 3, 10, 100]
            .map { count in
                wsCase("6.15 a text in \(count) fragments", fragments(1, prose(5000), count), .text(prose(5000)))
            }
            + [2, 3, 10, 100]
            .map { count in
                wsCase(
                    "6.16 a binary in \(count) fragments",
                    fragments(2, noise(70_000), count),
                    .binary(noise(70_000))
                )
            }
            + [64, 256, 1024, 4096, 16_384, 65_536]
            .map { size in
                wsCase(
                    "6.17 131072 bytes in fragments of \(size)",
                    fragments(2, noise(131_072), max(2, min(100, 131_072 / size))),
                    .binary(noise(131_072))
                )
            }
    }

    // MARK: 7. Fragments out of order

    private static var disorder: [WebSocketCase] {
        [
            wsCase("7.1 a continuation without a start", [.last("x")], .close(1002)),
            wsCase("7.2 a continuation without a start, not the last", [.more("x")], .close(1002)),
            wsCase("7.3 an empty continuation without a start", [.last("")], .close(1002)),
            WebSocketCase(
                "7.4 a continuation after a whole message",
                [.send(.text("whole")), .text("whole"), .send(.last("x")), .close(1002)]
            ),
            WebSocketCase(
                "7.5 a continuation after the last one",
                [.send(.text("a", fin: false), .last("b")), .text("ab"), .send(.last("c")), .close(1002)]
            ),
            WebSocketCase(
                "7.6 a continuation after a message, in one write",
                [.send(.text("whole"), .last("x")), .maybe(.text(Array("whole".utf8))), .close(1002)]
            ),
            wsCase("7.7 a text within a text", [.text("a", fin: false), .text("b")], .close(1002)),
            wsCase("7.8 a text begun within a text", [.text("a", fin: false), .text("b", fin: false)], .close(1002)),
            wsCase("7.9 a binary within a text", [.text("a", fin: false), .binary([1])], .close(1002)),
            wsCase("7.10 a text within a binary", [.binary([1], fin: false), .text("b")], .close(1002)),
            wsCase("7.11 a text after two fragments", [.text("a", fin: false), .more("b"), .text("c")], .close(1002)),
            wsCase("7.12 an empty text within an empty text", [.text("", fin: false), .text("")], .close(1002)),
            wsCase(
                "7.13 a ping, then a text within a text",
                [.text("a", fin: false), .ping("p"), .text("b")],
                .maybe(pong([0x70])),
                .close(1002)
            ),
        ]
    }
}
