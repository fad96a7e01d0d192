/// The bounds that the server of the table keeps: at each, and one past it.
package enum TableLimits {
    package static let messageSize = 131_072
    package static let frameSize = 100_000
    package static let fragments = 100
    package static let controlFrameBurst = 1000
}

/// Messages, frames and fragments that are as large or as many as they may be, or one more.
enum LimitCases {
    static let all: [WebSocketCase] = sizes + counts

    private static let message = TableLimits.messageSize
    private static let frame = TableLimits.frameSize

    // MARK: 15. Sizes

    private static var sizes: [WebSocketCase] {
        [
            wsCase("15.1 the longest message", fragments(2, noise(message), 2), .binary(noise(message))),
            wsCase("15.2 a message one byte too long", fragments(2, noise(message + 1), 2), .close(1009)),
            wsCase("15.3 a text one byte too long", fragments(1, prose(message + 1), 2), .close(1009)),
            wsCase("15.4 a message too long by its third fragment", fragments(2, noise(message + 1), 3), .close(1009)),
            wsCase(
                "15.5 a message too long by its last byte",
                [.binary(noise(65_536), fin: false), .more(noise(65_536)), .last([1])],
                .close(1009)
            ),
            wsCase("15.6 the longest frame", [.binary(noise(frame))], .binary(noise(frame))),
            wsCase("15.7 a frame one byte too long", [.binary(noise(frame + 1))], .close(1009)),
            WebSocketCase(
                "15.8 a frame that is too long is told by its head",
                [.bytes(Array(WebSocketFrame.binary(noise(frame + 1)).encoded.prefix(14))), .close(1009)]
            ),
            WebSocketCase(
                "15.9 a frame that makes its message too long is told by its head",
                [
                    .send(.binary(noise(frame), fin: false)),
                    .bytes(Array(WebSocketFrame.last(noise(message - frame + 1)).encoded.prefix(8))), .close(1009),
                ]
            ),
            WebSocketCase(
                "15.10 a frame that is too long, then a great deal",
                [.send(.binary(noise(frame + 1))), .bytes(noise(300_000)), .close(1009)]
            ),
            WebSocketCase(
                "15.11 the longest message twice",
                [.send(fragments(2, noise(message), 2) + fragments(1, prose(message), 2))]
                    + [.binary(noise(message)), .text(prose(message))]
            ),
        ]
    }

    // MARK: 16. Counts

    private static var counts: [WebSocketCase] {
        let count = TableLimits.fragments
        let starts = [WebSocketFrame.text("", fin: false)]
        return [
            wsCase("16.1 as many fragments as may be", fragments(1, prose(1000), count), .text(prose(1000))),
            wsCase("16.2 one fragment too many", fragments(1, prose(1000), count + 1), .close(1009)),
            wsCase(
                "16.3 one empty fragment too many",
                starts + Array(repeating: .more(""), count: count),
                .close(1009)
            ),
            wsCase(
                "16.4 pongs are no fragments",
                fragments(2, noise(1000), count).flatMap { [.pong("between"), $0] },
                .binary(noise(1000))
            ),
            WebSocketCase(
                "16.5 fragments are counted for each message",
                [.send(fragments(1, prose(500), count) + fragments(1, prose(500), count))]
                    + [.text(prose(500)), .text(prose(500))]
            ),
            wsCase(
                "16.6 a flood of pongs",
                Array(repeating: .pong("flood"), count: TableLimits.controlFrameBurst * 3),
                .close(1008)
            ),
            wsCase(
                "16.7 many pongs, but no flood",
                Array(repeating: .pong("few"), count: TableLimits.controlFrameBurst - 10) + [.text("done")],
                .text("done")
            ),
        ]
    }
}
