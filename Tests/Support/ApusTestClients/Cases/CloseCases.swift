/// Close frames and ends of streams (RFC 6455 §5.5.1, §7).
enum CloseCases {
    static let all = handshakes + codes + reasons + ends

    // MARK: 8. Close handshakes

    private static var handshakes: [WebSocketCase] {
        [
            wsCase("8.1 a close at once", [.close(1000)], .close(1000)),
            wsCase("8.2 a close without a code", [.close(nil)], .close(nil)),
            wsCase("8.3 a close with one byte", [WebSocketFrame(8, [3])], .close(1002)),
            wsCase("8.4 a close with a reason", [.close(1000, "done")], .close(1000)),
            wsCase("8.5 a close with the longest reason", [.close(1000, bytes: prose(123))], .close(1000)),
            wsCase("8.6 a close with a reason one too long", [.close(1000, bytes: prose(124))], .close(1002)),
            wsCase("8.7 a close, then a message", [.close(1000), .text("late")], .close(1000)),
            wsCase("8.8 a close, then a ping", [.close(1000), .ping("late")], .close(1000)),
            wsCase("8.9 two closes", [.close(1000), .close(1001)], .close(1000)),
            wsCase("8.10 a close, then a broken frame", [.close(1000), WebSocketFrame(3, [1])], .close(1000)),
            WebSocketCase(
                "8.11 a close, then garbage",
                [.send(.close(1000)), .bytes(noise(1000)), .close(1000)]
            ),
            WebSocketCase(
                "8.12 a close, then a great deal",
                [.send(.close(1000)), .bytes(noise(300_000)), .close(1000)]
            ),
            WebSocketCase(
                "8.13 a message, then a close",
                [.send(.text("echo")), .text("echo"), .send(.close(1000)), .close(1000)]
            ),
            WebSocketCase(
                "8.14 a message and a close in one write",
                [.send(.text("echo"), .close(1000)), .maybe(.text(Array("echo".utf8))), .close(1000)]
            ),
            WebSocketCase(
                "8.15 a large message and a close in one write",
                [.send(.binary(noise(90_000)), .close(1000)), .maybe(.binary(noise(90_000))), .close(1000)]
            ),
            wsCase(
                "8.16 a ping and a close in one write",
                [.ping("p"), .close(1000)],
                .maybe(.pong([0x70])),
                .close(1000)
            ),
            WebSocketCase(
                "8.17 a close in the middle of a message is answered although the message never ends",
                [.send(.binary(noise(50_000), fin: false)), .send(.close(4321, "enough")), .close(4321)]
            ),
        ]
    }

    // MARK: 9. Codes

    private static let valid = [
        1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999,
    ]
    /// Reserved, never on the wire, not assigned, or out of range (RFC 6455 §7.4).
    private static let invalid = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 32_768, 65_535]

    private static var codes: [WebSocketCase] {
        valid.map { wsCase("9.1 code \($0)", [.close($0)], .close($0)) }
            + valid.map { wsCase("9.2 code \($0) with a reason", [.close($0, "because")], .close($0)) }
            + invalid.map { wsCase("9.3 code \($0)", [.close($0)], .close(1002)) }
            + invalid.map { wsCase("9.4 code \($0) with a reason", [.close($0, "because")], .close(1002)) }
    }

    // MARK: 10. Reasons

    private static var reasons: [WebSocketCase] {
        [
            wsCase("10.1 a reason of many scripts", [.close(1000, "κόσμε – 世界 – 👋")], .close(1000)),
            wsCase(
                "10.2 a reason of four bytes a character",
                [.close(1000, String(repeating: "👋", count: 30))],
                .close(1000)
            ),
        ]
            + UTF8Cases.broken.map { broken in
                wsCase("10.3 a reason with \(broken.name)", [.close(1000, bytes: broken.bytes)], .close(1007, 1002))
            }
    }

    // MARK: 11. Ends

    private static var ends: [WebSocketCase] {
        [
            WebSocketCase("11.1 the end at once", sees: 1006, [.end, .expect(.over)]),
            WebSocketCase(
                "11.2 the end after a message",
                sees: 1006,
                [.send(.text("a")), .text("a"), .end, .expect(.over)]
            ),
            WebSocketCase("11.3 the end within a head", sees: 1006, [.bytes([0x81]), .end, .expect(.over)]),
            WebSocketCase(
                "11.4 the end within a length",
                sees: 1006,
                [.bytes([0x82, 0xFE, 1]), .end, .expect(.over)]
            ),
            WebSocketCase(
                "11.5 the end within a mask",
                sees: 1006,
                [.bytes([0x81, 0x85, 1, 2]), .end, .expect(.over)]
            ),
            WebSocketCase(
                "11.6 the end within a payload",
                sees: 1006,
                [.bytes(Array(WebSocketFrame.text("Hello").encoded.dropLast())), .end, .expect(.over)]
            ),
            WebSocketCase(
                "11.7 the end within a large payload",
                sees: 1006,
                [.bytes(Array(WebSocketFrame.binary(noise(90_000)).encoded.dropLast(40_000))), .end, .expect(.over)]
            ),
            WebSocketCase(
                "11.8 the end within a close",
                sees: 1006,
                [.bytes(Array(WebSocketFrame.close(1000).encoded.dropLast())), .end, .expect(.over)]
            ),
            WebSocketCase("11.9 a reset at once", sees: 1006, [.reset]),
            WebSocketCase("11.10 a reset after a message", sees: 1006, [.send(.text("a")), .text("a"), .reset]),
            WebSocketCase("11.11 a reset within a frame", sees: 1006, [.bytes([0x81, 0x85, 1]), .reset]),
            WebSocketCase(
                "11.12 a close, then a reset",
                sees: 1000,
                [.send(.close(1000)), .expect(.close([1000])), .reset]
            ),
        ]
    }
}
