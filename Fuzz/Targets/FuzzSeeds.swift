extension FuzzTarget {
    /// Inputs to begin with: good conversations, from which a fuzzer finds the bad ones.
    package var seeds: [[UInt8]] {
        switch self {
        case .connection: Self.conversations
        case .inflation: Self.compressedMessages
        case .handshake: Self.openings
        }
    }

    /// A chat in whole messages, pings, fragments, compression, back-pressure and every way to end.
    private static var conversations: [[UInt8]] {
        let hello = text("Hello")
        let umlauts = text("ÄÖÜ 字 🐦")
        let fragments = [1, 0x01] + hello + [1, 0x89] + text("ping") + [1, 0x00] + hello + [1, 0x80] + umlauts
        let bye: [UInt8] = [1, 0x88, 5, 0x03, 0xE8] + Array("bye".utf8)
        let answers: [UInt8] =
            [12, 0x02] + hello + [12, 0x30] + umlauts + [13, 0x33] + hello + [12, 0x00] + hello + [11, 7]
        let waiting: [UInt8] = [8, 10, 3, 9, 10, 1]
        let plain: [UInt8] =
            [1, 0x81] + umlauts + waiting + [1, 0x82] + hello + fragments + [1, 0x8A] + hello + answers
        let deflated: [UInt8] = [5, 0x01] + umlauts + [5, 0xFE] + hello + [6, 0x41] + hello + [5, 0x03] + umlauts
        let large: [UInt8] = [4, 0x82, 7, 0x20, 0x00, 8, 10, 3, 4, 0x01, 0x61, 0x20, 0x00, 4, 0x80, 0x62, 0x30, 0x00]
        let timed: [UInt8] = [7, 90, 11, 1, 1, 0x8A] + hello + [7, 255, 7, 255]
        var seeds: [[UInt8]] = []
        for setup in [[0, 3, 0], [1, 3, 0], [2, 3, 4], [3, 3, 0], [15, 3, 0x58], [0x83, 0x40, 0xA5]] as [[UInt8]] {
            seeds.append(setup + plain + bye)
            seeds.append(setup + deflated + answers + waiting + [14, 1, 4] + bye)
            seeds.append(setup + plain + large + [14, 2, 3] + plain + [15])
            seeds.append(setup + deflated + timed + large + timed)
            // Bytes as they were on somebody's wire: RFC 6455 §5.7 and RFC 7692 §7.2.3.
            seeds.append(setup + [0, 11, 0x81, 0x85, 0x37, 0xFA, 0x21, 0x3D, 0x7F, 0x9F, 0x4D, 0x51, 0x58] + waiting)
            seeds.append(
                setup + [1, 0xC1, 7, 0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00, 1, 0xC1, 5, 0xF2, 0, 0x11, 0, 0]
            )
            seeds.append(setup + [1, 0x41, 3, 0xF2, 0x48, 0xCD, 1, 0x80, 4, 0xC9, 0xC9, 0x07, 0x00] + bye)
        }
        return seeds
    }

    /// A length, as one byte, and the text.
    private static func text(_ text: String) -> [UInt8] {
        [UInt8(truncatingIfNeeded: text.utf8.count)] + Array(text.utf8)
    }

    /// The examples of RFC 7692 §7.2.3, and words to compress.
    private static var compressedMessages: [[UInt8]] {
        let examples: [[UInt8]] = [
            [0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00], [0xF2, 0x00, 0x11, 0x00, 0x00],
            [0x00, 0x05, 0x00, 0xFA, 0xFF, 0x48, 0x65, 0x6C, 0x6C, 0x6F, 0x00],
            [0xF3, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00, 0x00], [0x00],
            [0xF2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xFF, 0xFF, 0xCA, 0xC9, 0xC9, 0x07, 0x00],
            PeerDeflater(windowBits: 15).message(Array("the quick brown fox jumps over the lazy dog, twice".utf8)),
            PeerDeflater(windowBits: 15).message([UInt8](repeating: 7, count: 100_000)).prefix(63) + [0],
        ]
        let inflating = script(examples, kind: 0)
        let deflating = script(examples, kind: 3)
        var seeds: [[UInt8]] = []
        for agreement in [0, 1, 2, 3, 0x24, 0xFF] as [UInt8] {
            seeds.append([agreement, 255, 255] + inflating)
            seeds.append([agreement, 0, 0] + inflating + deflating)
            seeds.append([agreement, 3, 1] + deflating + inflating)
        }
        return seeds
    }

    /// Messages, each behind its kind and its length.
    private static func script(_ messages: [[UInt8]], kind: UInt8) -> [UInt8] {
        var script: [UInt8] = []
        for message in messages { script += [kind, UInt8(message.count)] + message }
        return script
    }

    /// What browsers send, and offers of every kind.
    private static var openings: [[UInt8]] {
        // A line's first byte chooses its field by its remainder of five: `d` is extensions, `e` subprotocols, `f` the
        // key, `g` the version, `h` the origin.
        let lists = [
            "dpermessage-deflate; client_max_window_bits", "dpermessage-deflate", "echat, superchat",
            "dx-a; b=\"c\", permessage-deflate; server_max_window_bits=\"1\\0\"; client_no_context_takeover",
            "dpermessage-deflate; server_no_context_takeover; client_max_window_bits=9, permessage-deflate",
        ]
        let whole = "g13\nfdGhlIHNhbXBsZSBub25jZQ==\nhhttps://example.org\n"
        var seeds: [[UInt8]] = []
        for list in lists {
            for flags in [0x03, 0x30, 0x71, 0x72, 0xF4, 0xF7, 0x0B] as [UInt8] {
                seeds.append([flags] + Array((whole + list).utf8))
            }
        }
        return seeds
    }
}
