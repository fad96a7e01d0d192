/// One thing that a client does in a WebSocket of its own, and what must come of it.
///
/// The server's application echoes every message. A case that does not close its WebSocket is closed with 1000 after
/// its last step, which must be answered with 1000.
package struct WebSocketCase: Sendable {
    package let name: String
    /// The value of `sec-websocket-extensions`.
    package let offer: String?
    package let steps: [Step]
    /// The codes with one of which the application sees the WebSocket end.
    package let applicationCodes: [Int]

    package enum Step: Sendable {
        case send([WebSocketFrame])
        /// What no frame can say.
        case bytes([UInt8])
        /// A message through the client's compressor, in so many frames.
        case deflated(UInt8, [UInt8], fragments: Int)
        /// What comes back next.
        case expect(Expectation)
        /// What was agreed on.
        case agreed(DeflateExpectation)
        /// So many of the server's messages must have been compressed.
        case compressed(atLeast: Int)
        /// The client ends its half, without a Close frame.
        case end
        /// The client breaks the stream or the connection off.
        case reset
    }

    package enum Expectation: Sendable {
        case reply(WebSocketReply)
        /// May be left out.
        case optional(WebSocketReply)
        /// A Close frame with one of these codes, and any reason.
        case close([Int?])
        /// The end of the stream, in order or not.
        case over
    }

    /// What an offer of permessage-deflate must come to; nil for what may be either.
    package struct DeflateExpectation: Sendable {
        package var isAgreed = true
        package var serverKeepsContext: Bool?
        package var clientKeepsContext: Bool?
        package var maxServerWindowBits = 15
    }

    package init(_ name: String, offer: String? = nil, sees code: Int? = nil, _ steps: [Step]) {
        self.name = name
        self.offer = offer
        var steps = steps
        if !steps.contains(where: \.isFinal) { steps += [.send([.close(1000)]), .expect(.close([1000]))] }
        var seen = [1006]
        if case .expect(.close(let codes)) = steps.last {
            // RFC 6455 §7.1.5: a Close frame without a code counts as 1005.
            seen = codes.map { $0 ?? 1005 }
            steps.append(.expect(.reply(.end)))
        }
        self.steps = steps
        applicationCodes = code.map { [$0] } ?? seen
    }
}

extension WebSocketCase.Step {
    /// Whether the WebSocket is over with it.
    fileprivate var isFinal: Bool {
        switch self {
        case .expect(.close), .expect(.over), .end, .reset: true
        default: false
        }
    }
}

// MARK: - The usual steps

extension WebSocketCase.Step {
    package static func send(_ frames: WebSocketFrame...) -> Self { .send(frames) }

    package static func text(_ text: String) -> Self { .expect(.reply(.text(Array(text.utf8)))) }

    package static func text(_ bytes: [UInt8]) -> Self { .expect(.reply(.text(bytes))) }

    package static func binary(_ bytes: [UInt8]) -> Self { .expect(.reply(.binary(bytes))) }

    package static func pong(_ text: String = "") -> Self { .expect(.reply(.pong(Array(text.utf8)))) }

    /// May be left out: the server may answer only the last of several pings (RFC 6455 §5.5.3), or nothing once the
    /// client has broken a rule.
    package static func maybe(_ reply: WebSocketReply) -> Self { .expect(.optional(reply)) }

    package static func close(_ codes: Int?...) -> Self { .expect(.close(codes)) }
}

/// A case in one line: frames, then what comes back.
func wsCase(
    _ name: String,
    _ frames: [WebSocketFrame],
    _ replies: WebSocketCase.Step...
) -> WebSocketCase {
    WebSocketCase(name, [.send(frames)] + replies)
}

// MARK: - Payloads

/// Text of so many bytes that compresses well, and is not the same everywhere.
func prose(_ count: Int) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(count + 64)
    var line = 0
    while bytes.count < count {
        bytes += Array("line \(line) of a text that says the same thing over and over; ".utf8)
        line += 1
    }
    return Array(bytes.prefix(count))
}

/// Bytes that do not compress.
func noise(_ count: Int) -> [UInt8] {
    var generator = SeededGenerator(seed: UInt64(count))
    var words: [UInt64] = []
    words.reserveCapacity(count / 8 + 1)
    for _ in 0...count / 8 { words.append(generator.next()) }
    return words.withUnsafeBytes { Array($0.prefix(count)) }
}
