/// permessage-deflate between two ends that keep its rules (RFC 7692).
enum DeflateCases {
    static let all = negotiation + sizes + fragmented + examples

    private static let text = WebSocketFrame.Opcode.text
    private static let binary = WebSocketFrame.Opcode.binary

    // MARK: 17. Negotiation

    private static var negotiation: [WebSocketCase] {
        [
            agreed("permessage-deflate"),
            agreed("permessage-deflate; client_max_window_bits"),
            agreed("permessage-deflate; client_max_window_bits=10"),
            agreed("permessage-deflate; client_no_context_takeover"),
            agreed("permessage-deflate; server_no_context_takeover", keeping: false),
            agreed("permessage-deflate; server_no_context_takeover; client_no_context_takeover", keeping: false),
            agreed("permessage-deflate; server_max_window_bits=10", bits: 10),
            agreed("permessage-deflate; server_max_window_bits=\"9\"", bits: 9),
            agreed("permessage-deflate;server_max_window_bits=15;client_max_window_bits=15"),
            agreed("permessage-bzip2, permessage-deflate"),
            agreed("permessage-deflate; unknown=1, permessage-deflate"),
            agreed(
                "permessage-deflate; server_max_window_bits=99, permessage-deflate; server_max_window_bits=12",
                bits: 12
            ),
            agreed("permessage-deflate; server_no_context_takeover, permessage-deflate", keeping: false),
            declined("x-webkit-deflate-frame"),
            declined("permessage-deflate; unknown"),
            declined("permessage-deflate; server_max_window_bits"),
            declined("permessage-deflate; server_max_window_bits=7"),
            declined("permessage-deflate; server_max_window_bits=16"),
            declined("permessage-deflate; server_max_window_bits=08"),
            declined("permessage-deflate; server_max_window_bits=+9"),
            declined("permessage-deflate; client_max_window_bits=16"),
            declined("permessage-deflate; client_max_window_bits=0"),
            declined("permessage-deflate; server_no_context_takeover=1"),
            declined("permessage-deflate; client_no_context_takeover=true"),
            declined("permessage-deflate; server_no_context_takeover; server_no_context_takeover"),
            declined("permessage-deflate; server_max_window_bits=9; server_max_window_bits=10"),
            WebSocketCase(
                "17.3 the smallest window, which zlib cannot write",
                offer: "permessage-deflate; server_max_window_bits=8",
                [.send(.text(prose(3000))), .text(prose(3000))]
            ),
        ]
    }

    private static func agreed(_ offer: String, keeping context: Bool? = nil, bits: Int = 15) -> WebSocketCase {
        let expectation = WebSocketCase.DeflateExpectation(serverKeepsContext: context, maxServerWindowBits: bits)
        return WebSocketCase(
            "17.1 agreed: \(offer)",
            offer: offer,
            [.agreed(expectation)]
                + (0..<3).flatMap { _ in [.deflated(text, prose(3000), fragments: 1), .text(prose(3000))] }
                + [.compressed(atLeast: 3)]
        )
    }

    private static func declined(_ offer: String) -> WebSocketCase {
        WebSocketCase(
            "17.2 declined: \(offer)",
            offer: offer,
            [.agreed(.init(isAgreed: false)), .send(.text(prose(3000))), .text(prose(3000))]
        )
    }

    // MARK: 18. Sizes

    private static let offers = [
        "permessage-deflate; client_max_window_bits",
        "permessage-deflate; server_no_context_takeover",
        "permessage-deflate; client_no_context_takeover",
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
        "permessage-deflate; server_max_window_bits=9; client_max_window_bits=9",
        "permessage-deflate; server_max_window_bits=12; client_max_window_bits=11",
    ]

    private static var sizes: [WebSocketCase] {
        let counts = [0, 1, 16, 64, 125, 126, 256, 1024, 4096, 8192, 16_384, 32_768, 65_536, 131_072]
        return offers.flatMap { offer in counts.map { sized($0, offer) } }
    }

    /// The same message again and again, which a context makes small; then what cannot be made small.
    private static func sized(_ count: Int, _ offer: String) -> WebSocketCase {
        let times = count > 20_000 ? 1 : 4
        let parts = count > 90_000 ? 2 : 1
        return WebSocketCase(
            "18.1 \(count) bytes under \(offer)",
            offer: offer,
            (0..<times).flatMap { _ in [.deflated(text, prose(count), fragments: 1), .text(prose(count))] }
                + [.deflated(binary, noise(count), fragments: parts), .binary(noise(count))]
                + [.deflated(text, prose(count), fragments: 1), .text(prose(count))]
        )
    }

    // MARK: 19. Fragments

    private static var fragmented: [WebSocketCase] {
        let offer = "permessage-deflate"
        return [2, 3, 10, 50, 100]
            .map { count in
                WebSocketCase(
                    "19.1 a text in \(count) fragments",
                    offer: offer,
                    [.deflated(text, prose(4000), fragments: count), .text(prose(4000))]
                        + [.deflated(text, prose(4000), fragments: count), .text(prose(4000))]
                )
            }
            + [2, 3, 10, 50, 100]
            .map { count in
                WebSocketCase(
                    "19.2 a binary in \(count) fragments",
                    offer: offer,
                    [.deflated(binary, noise(20_000), fragments: count), .binary(noise(20_000))]
                )
            }
            + [
                WebSocketCase(
                    "19.3 messages in a row",
                    offer: offer,
                    (0..<20).map { .deflated(text, prose($0 * 10), fragments: 1) }
                        + (0..<20).map { .text(prose($0 * 10)) }
                ),
                WebSocketCase(
                    "19.4 compressed and plain by turns",
                    offer: offer,
                    (0..<10)
                        .flatMap { index in
                            [
                                .deflated(text, prose(400), fragments: 1 + index), .text(prose(400)),
                                .send(.text(prose(400))), .text(prose(400)),
                                .send(fragments(binary, noise(40), 3)), .binary(noise(40)),
                            ]
                        }
                ),
                WebSocketCase(
                    "19.5 a plain text within the rules of UTF-8",
                    offer: offer,
                    [.send(.text("κόσμε")), .text("κόσμε"), .send(.text([0xC3])), .close(1007)]
                ),
                WebSocketCase(
                    "19.6 characters of many bytes across fragments",
                    offer: offer,
                    [.deflated(text, Array(String(repeating: "世界👋é", count: 200).utf8), fragments: 40)]
                        + [.text(String(repeating: "世界👋é", count: 200))]
                ),
            ]
    }

    // MARK: 20. The examples of RFC 7692 §7.2.3

    private static var examples: [WebSocketCase] {
        let hello: [UInt8] = [0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00]
        let final: [UInt8] = [0xF3, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00, 0x00]
        let blocks: [UInt8] = [0xF2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xFF, 0xFF, 0xCA, 0xC9, 0xC9, 0x07, 0x00]
        return [
            example("20.1 one block", [hello], ["Hello"]),
            example(
                "20.2 the context of the message before",
                [hello, [0xF2, 0x00, 0x11, 0x00, 0x00]],
                ["Hello", "Hello"]
            ),
            example(
                "20.3 a block without compression",
                [[0, 5, 0, 0xFA, 0xFF] + Array("Hello".utf8) + [0]],
                ["Hello"]
            ),
            example("20.4 a last block", [final], ["Hello"]),
            example("20.5 a last block, and a message behind it", [final, hello], ["Hello", "Hello"]),
            example("20.6 two blocks", [blocks], ["Hello"]),
            example("20.7 an empty message", [[0]], [""]),
            example("20.8 nothing at all", [[]], [""]),
            example("20.9 empty messages around another", [[0], hello, [0], hello], ["", "Hello", "", "Hello"]),
            WebSocketCase(
                "20.10 one block in two frames",
                offer: "permessage-deflate",
                [
                    .send(.text(Array(hello.prefix(3)), fin: false, reserved: 4), .last(Array(hello.dropFirst(3)))),
                    .text("Hello"),
                ]
            ),
            WebSocketCase(
                "20.11 a frame for each byte, with pings between",
                offer: "permessage-deflate",
                [.send(fragments(text, hello, 7, reserved: 4).flatMap { [.pong("between"), $0] }), .text("Hello")]
            ),
        ]
    }

    /// Payloads that are compressed already, and the texts that they are.
    private static func example(_ name: String, _ payloads: [[UInt8]], _ texts: [String]) -> WebSocketCase {
        WebSocketCase(
            name,
            offer: "permessage-deflate",
            zip(payloads, texts).flatMap { [.send(.text($0, reserved: 4)), .text($1)] }
        )
    }
}
