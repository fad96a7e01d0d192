import ApusHTTP

/// The client's side of one WebSocket: runs the steps of a case, and says what was not as it must be.
package final class WebSocketPeer {
    /// How what the client sends is cut on its way.
    package enum Cutting: Sendable {
        /// All that is sent between two expectations goes at once.
        case whole
        /// Byte by byte; of what is long, its beginning and its end, and pieces of any size between.
        case pieces(seed: UInt64)
    }

    private let transport: any WebSocketTransport
    private let agreement: DeflateAgreement?
    private let deflater: ClientDeflater?
    private var reader: WebSocketReader
    private let deadline: Instant
    private let repliesAreWhole: Bool
    private var generator: SeededGenerator?
    /// Bytes of steps that are sent with the next expectation.
    private var waiting: [UInt8] = []
    /// A reply that an optional expectation has left.
    private var next: WebSocketReply?

    /// - Parameter repliesAreWhole: Whether the server answers with messages in one piece: it may decide by the first piece
    ///   whether a message is worth compressing.
    package init(
        transport: any WebSocketTransport,
        offer: String?,
        cutting: Cutting,
        repliesAreWhole: Bool = true,
        until deadline: Instant
    ) throws {
        self.transport = transport
        self.deadline = deadline
        self.repliesAreWhole = repliesAreWhole
        agreement = try DeflateAgreement(answer: transport.opening["sec-websocket-extensions"], offer: offer)
        deflater = agreement.map { ClientDeflater($0) }
        reader = WebSocketReader(inflater: agreement.map { ClientInflater($0) })
        if case .pieces(let seed) = cutting { generator = SeededGenerator(seed: seed) }
    }

    /// Runs the steps, and ends the client's half at last.
    package func run(_ steps: [WebSocketCase.Step]) throws {
        for step in steps { try run(step) }
        try flush()
        try transport.end(until: deadline)
    }

    private func run(_ step: WebSocketCase.Step) throws {
        switch step {
        case .send(let frames): for frame in frames { waiting += frame.encoded }
        case .bytes(let bytes): waiting += bytes
        case .deflated(let opcode, let payload, let count):
            let compressed = deflater?.deflate(payload) ?? payload
            for frame in fragments(opcode, compressed, count, reserved: 4) { waiting += frame.encoded }
        case .expect(let expectation):
            try flush()
            try expect(expectation)
        case .agreed(let expectation): try check(expectation)
        case .compressed(let count):
            guard reader.compressedCount >= count || !repliesAreWhole else {
                throw ClientFailure("the server did not compress")
            }
        case .end:
            try flush()
            try transport.end(until: deadline)
        case .reset:
            try flush()
            try transport.reset(until: deadline)
        }
    }

    // MARK: Output

    private func flush() throws {
        guard !waiting.isEmpty else { return }
        let pieces = cut(waiting)
        waiting = []
        try transport.send(pieces, until: deadline)
    }

    private func cut(_ bytes: [UInt8]) -> [[UInt8]] {
        guard generator != nil else { return [bytes] }
        let singles = 300
        var pieces: [[UInt8]] = []
        var rest = bytes[...]
        while !rest.isEmpty {
            let isAtEdge = bytes.count - rest.count < singles || rest.count < 20
            let count = isAtEdge ? 1 : min(rest.count - 19, randomSize(bytes.count))
            pieces.append(Array(rest.prefix(count)))
            rest = rest.dropFirst(count)
        }
        return pieces
    }

    private func randomSize(_ count: Int) -> Int {
        guard var generator else { return count }
        defer { self.generator = generator }
        return Int.random(in: 1...max(1, count / 25), using: &generator)
    }

    // MARK: Input

    private func expect(_ expectation: WebSocketCase.Expectation) throws {
        let reply: WebSocketReply
        do {
            reply = try nextReply()
        } catch {
            throw ClientFailure("\(error), in place of \(expectation.summary)")
        }
        switch (expectation, reply) {
        case (.reply(let expected), _) where expected == reply: break
        case (.optional(let expected), _) where expected == reply: break
        case (.optional, _): next = reply
        case (.close(let codes), .close(let code, _)) where codes.contains(code): break
        case (.over, .end), (.over, .reset): break
        default: throw ClientFailure("\(reply.summary) came in place of \(expectation.summary)")
        }
    }

    private func nextReply() throws -> WebSocketReply {
        if let reply = next {
            next = nil
            return reply
        }
        while true {
            if let reply = try reader.next() { return reply }
            switch try transport.receive(until: deadline) {
            case .bytes(let bytes): reader.append(bytes)
            case .end:
                guard reader.isBetweenFrames else { throw ClientFailure("the server ends within a frame") }
                return .end
            case .reset: return .reset
            }
        }
    }

    private func check(_ expectation: WebSocketCase.DeflateExpectation) throws {
        guard let agreement else {
            guard expectation.isAgreed else { return }
            throw ClientFailure("no permessage-deflate")
        }
        let isAsExpected =
            expectation.isAgreed && agreement.serverWindowBits <= expectation.maxServerWindowBits
            && agreement.serverKeepsContext == expectation.serverKeepsContext ?? agreement.serverKeepsContext
            && agreement.clientKeepsContext == expectation.clientKeepsContext ?? agreement.clientKeepsContext
        guard isAsExpected else { throw ClientFailure("\(agreement) in place of \(expectation)") }
    }
}

// MARK: - Words for what came

extension WebSocketReply {
    /// In few words: a payload may be long.
    package var summary: String {
        switch self {
        case .text(let bytes): "text of \(Self.summary(bytes))"
        case .binary(let bytes): "binary of \(Self.summary(bytes))"
        case .ping(let bytes): "a ping of \(Self.summary(bytes))"
        case .pong(let bytes): "a pong of \(Self.summary(bytes))"
        case .close(let code, let reason):
            "a close with \(code.map { String($0) } ?? "nothing") '\(String(decoding: reason, as: UTF8.self))'"
        case .end: "the end"
        case .reset: "a reset"
        }
    }

    private static func summary(_ bytes: [UInt8]) -> String {
        bytes.count <= 16 ? "\(bytes)" : "\(bytes.count) bytes \(bytes.prefix(8))..."
    }
}

extension WebSocketCase.Expectation {
    fileprivate var summary: String {
        switch self {
        case .reply(let reply): reply.summary
        case .optional(let reply): "perhaps \(reply.summary)"
        case .close(let codes): "a close with \(codes.map { $0.map { String($0) } ?? "nothing" })"
        case .over: "the end or a reset"
        }
    }
}
