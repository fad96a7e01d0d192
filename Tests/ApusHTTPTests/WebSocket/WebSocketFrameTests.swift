import ApusGateway
import ApusHTTP
import Testing

/// Frames as they come: their heads, their order, and the messages that they make.
@Suite struct WebSocketFrameTests {
    @Test(arguments: everyFeeding, [0, 1, 3, 125, 126, 127, 1000, 0xFFFF, 0x10000, 100_000])
    func `a message of any length arrives`(feeding: Int, length: Int) {
        let peer = FramePeer(feeding)
        let bytes = noise(length)
        let text = String(repeating: "é", count: length / 2)
        peer.give(.binary(bytes), .text(text))
        #expect(peer.events() == [.binary(bytes), .text(text)])
        #expect(!peer.connection.holdsData)
    }

    @Test func `messages arrive wherever the input is cut in two`() throws {
        let input = [
            PeerFrame.text("héllo"), .ping([1, 2]), .text("a", more: true), .continuation([0xC3], more: true),
        ]
        let rest = [PeerFrame.ping(), .continuation([0xA9]), .binary(noise(200)), .close(1000)]
        let bytes = (input + rest).flatMap(\.bytes)
        for cut in 0...bytes.count {
            let peer = FramePeer()
            peer.give(bytes: Array(bytes[..<cut]))
            peer.give(bytes: Array(bytes[cut...]))
            #expect(
                peer.events() == [
                    .text("héllo"), .text("aé"), .binary(noise(200)), .closed(1000, reason: ""),
                ]
            )
            #expect(try peer.frames() == [.pong([1, 2]), .pong([]), .close(1000)])
        }
    }

    @Test(arguments: everyFeeding) func `fragments make one message, pings between them are answered`(
        feeding: Int
    ) throws {
        let peer = FramePeer(feeding)
        peer.give(.text("one ", more: true), .ping([7]))
        #expect(try peer.frames() == [.pong([7])])
        #expect(peer.connection.holdsData)
        peer.give(.continuation([], more: true), .continuation(Array("two".utf8), more: true))
        #expect(peer.events() == [])
        peer.give(.continuation([]))
        #expect(peer.events() == [.text("one two")])
    }

    @Test(arguments: everyFeeding) func `a frame that is not masked is a protocol error`(feeding: Int) throws {
        let peer = FramePeer(feeding)
        peer.give(PeerFrame(opcode: 1, payload: [0x61], isMasked: false))
        try peer.expectFault(1002)
    }

    @Test(arguments: everyFeeding, [1, 2, 3, 4, 5, 6, 7] as [UInt8])
    func `a reserved bit without its extension is a protocol error`(feeding: Int, bits: UInt8) throws {
        let peer = FramePeer(feeding)
        peer.give(PeerFrame(opcode: 1, payload: [0x61], reserved: bits))
        try peer.expectFault(1002)
    }

    @Test(arguments: [0, 8, 9, 10] as [UInt8])
    func `with permessage-deflate the first frame of a message alone has RSV1`(opcode: UInt8) throws {
        let peer = FramePeer(deflate: try agreed("permessage-deflate"))
        if opcode == 0 { peer.give(.text("a", more: true)) }
        peer.give(PeerFrame(opcode: opcode, reserved: 4))
        try peer.expectFault(1002)
    }

    @Test(arguments: everyFeeding, [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] as [UInt8])
    func `an unknown opcode is a protocol error`(feeding: Int, opcode: UInt8) throws {
        let peer = FramePeer(feeding)
        peer.give(PeerFrame(opcode: opcode))
        try peer.expectFault(1002)
    }

    @Test(arguments: everyFeeding, [8, 9, 10] as [UInt8])
    func `a control frame has 125 bytes at most and comes whole`(feeding: Int, opcode: UInt8) throws {
        let payload = [UInt8](repeating: 0x03, count: 126)
        var peer = FramePeer(feeding)
        peer.give(PeerFrame(opcode: opcode, payload: Array([0x03, 0xE8] + payload.prefix(123))))
        #expect(peer.connection.connectionError == nil)
        peer = FramePeer(feeding)
        peer.give(PeerFrame(opcode: opcode, payload: payload))
        try peer.expectFault(1002)
        peer = FramePeer(feeding)
        peer.give(PeerFrame(opcode: opcode, isFinal: false))
        try peer.expectFault(1002)
    }

    @Test(arguments: everyFeeding) func `a length is encoded in as few bytes as it needs`(feeding: Int) throws {
        for (length, bits) in [(125, 16), (0, 16), (125, 64), (0xFFFF, 64)] as [(UInt64, Int)] {
            let peer = FramePeer(feeding)
            peer.give(PeerFrame(opcode: 2, announced: length, lengthBits: bits))
            try peer.expectFault(1002)
        }
        for (length, bits) in [(126, 16), (0x10000, 64)] as [(UInt64, Int)] {
            let peer = FramePeer(feeding)
            peer.give(PeerFrame(opcode: 2, announced: length, lengthBits: bits))
            #expect(peer.events() == [])
            #expect(peer.connection.disposition == .open)
        }
    }

    @Test(arguments: everyFeeding) func `a length with its top bit set is a protocol error`(feeding: Int) throws {
        for length in [UInt64(1) << 63, .max] {
            let peer = FramePeer(feeding)
            peer.give(PeerFrame(opcode: 2, announced: length))
            try peer.expectFault(1002)
        }
        // The largest that may be said is merely too big.
        let peer = FramePeer(feeding)
        peer.give(PeerFrame(opcode: 2, announced: .max >> 1))
        try peer.expectFault(1009)
    }

    @Test(arguments: everyFeeding) func `a continuation needs a message to go on with`(feeding: Int) throws {
        var peer = FramePeer(feeding)
        peer.give(.continuation([1]))
        try peer.expectFault(1002)
        peer = FramePeer(feeding)
        peer.give(.text("a", more: true), .continuation([]), .continuation([]))
        #expect(peer.connection.nextEvent() == .text("a"))
        try peer.expectFault(1002)
    }

    @Test(arguments: everyFeeding) func `a message does not begin within another`(feeding: Int) throws {
        for second in [PeerFrame.text("b"), .binary([1]), .text("b", more: true)] {
            let peer = FramePeer(feeding)
            peer.give(.text("a", more: true), second)
            try peer.expectFault(1002)
        }
    }

    @Test(arguments: everyFeeding) func `text that is not UTF-8 is refused`(feeding: Int) throws {
        for bytes in [[0xFF], [0xC3], [0x61, 0xED, 0xA0, 0x80], [0xF4, 0x90, 0x80, 0x80]] as [[UInt8]] {
            let peer = FramePeer(feeding)
            peer.give(.text(bytes))
            try peer.expectFault(1007)
        }
        // Its end is the message's, not the frame's.
        let peer = FramePeer(feeding)
        peer.give(.text([0xE2], more: true), .continuation([0x82], more: true), .continuation([]))
        try peer.expectFault(1007)
    }

    @Test func `text that is not UTF-8 is refused before its frame and its message are complete`() throws {
        var peer = FramePeer()
        peer.give(
            bytes: Array(PeerFrame.text(Array("abc".utf8) + [0xFF] + Array("def".utf8), more: true).bytes.dropLast(3))
        )
        try peer.expectFault(1007)
        peer = FramePeer()
        peer.give(.text([0xCE, 0xBA, 0xF4], more: true))
        #expect(peer.connection.disposition == .open)
        peer.give(bytes: Array(PeerFrame.continuation([0x90, 0x80]).bytes.dropLast()))
        try peer.expectFault(1007)
    }

    @Test func `binary data may be anything`() {
        let peer = FramePeer()
        peer.give(.binary([0xFF, 0xC3], more: true), .continuation([0xED]))
        #expect(peer.events() == [.binary([0xFF, 0xC3, 0xED])])
    }

    @Test(arguments: everyFeeding) func `messages before a fault arrive, nothing behind it does`(feeding: Int) throws {
        let peer = FramePeer(feeding)
        peer.give(.text("before"), PeerFrame(opcode: 3), .text("behind"), .ping([1]), .close(1000))
        #expect(peer.waiting.isEmpty)
        let events = peer.events()
        #expect(events.count == 2 && events.first == .text("before"))
        #expect(try peer.frames().map(\.code) == [1002])
    }

    @Test(arguments: everyFeeding) func `a fault waits until the messages before it can have been answered`(
        feeding: Int
    ) throws {
        let peer = FramePeer(feeding)
        peer.give(.text("before"), PeerFrame(opcode: 3), .ping([1]))
        #expect(peer.connection.nextEvent() == .text("before"))
        peer.connection.send("answer", more: false, now: peer.now)
        #expect(try peer.frames().map(\.payload) == [Array("answer".utf8)])
        #expect(peer.connection.nextEvent() == nil)
        #expect(peer.connection.disposition == .open)
        peer.connection.isAwaited = true
        #expect(try peer.frames().map(\.code) == [1002])
        #expect(peer.connection.disposition == .close)
    }

    @Test(arguments: ["closeTimeout", "the stream's end", "our Close"])
    func `a fault does not wait for ever`(_ until: String) throws {
        let peer = FramePeer(1)
        peer.give(.text("before"), PeerFrame(opcode: 3))
        _ = peer.connection.nextEvent()
        switch until {
        case "closeTimeout":
            let deadline = try #require(peer.connection.deadline)
            #expect(deadline == peer.now + .seconds(10))
            peer.connection.handleTimeout(now: deadline)
            #expect(try peer.frames().map(\.code) == [1002])
        case "our Close":
            peer.connection.close(.normalClosure, reason: "", now: peer.now)
            #expect(try peer.frames().map(\.code) == [1000])
        default:
            peer.connection.receiveEnd(now: peer.now)
        }
        #expect(peer.connection.disposition == .close)
        #expect(peer.connection.connectionError?.kind == .protocolViolation)
        #expect(peer.connection.deadline == nil)
    }

    @Test func `random bytes never do more than end it`() throws {
        for seed in UInt64(1)...2000 {
            let deflate = seed % 2 == 0 ? try agreed("permessage-deflate") : nil
            let peer = FramePeer(
                seed % 3 == 0 ? 1 : .max,
                delivery: seed % 5 == 0 ? .fragments : .messages,
                deflate: deflate
            ) {
                $0.maxQueuedBytes = 64
            }
            peer.connection.isAwaited = true
            // Every third byte is made a plausible head, so that most do not end at once.
            var bytes = noise(400, seed: seed)
            for index in stride(from: 0, to: 390, by: 13) {
                bytes[index] = [0x81, 0x82, 0x01, 0x00, 0x80, 0x89, 0xC1, 0xC2][Int(bytes[index] & 7)]
                bytes[index + 1] = 0x80 | 7
            }
            peer.give(bytes: bytes)
            _ = peer.events()
            peer.connection.receiveEnd(now: peer.now)
            #expect(peer.connection.disposition == .close)
            _ = try peer.frames()
        }
    }
}
