import ApusGateway
import ApusHTTP
import FuzzTargets
import Testing

/// What a peer may ask for: each bound at its value and one past it.
@Suite struct WebSocketLimitTests {
    @Test(arguments: everyFeeding) func `a frame as large as may be is taken, one byte more is not`(feeding: Int) throws
    {
        var peer = FramePeer(feeding) { $0.maxFrameSize = 300 }
        peer.give(.binary(noise(300)))
        #expect(peer.events() == [.binary(noise(300))])
        peer = FramePeer(feeding) { $0.maxFrameSize = 300 }
        // By its head alone.
        peer.give(PeerFrame(opcode: 2, announced: 301))
        try peer.expectFault(1009)
    }

    @Test(arguments: everyFeeding) func `a message as large as may be is taken, one byte more is not`(
        feeding: Int
    ) throws {
        var peer = FramePeer(feeding) { $0.maxMessageSize = 300 }
        peer.give(.binary(noise(200), more: true), .continuation(noise(100)))
        #expect(peer.events() == [.binary(noise(200) + noise(100))])
        peer = FramePeer(feeding) { $0.maxMessageSize = 300 }
        peer.give(PeerFrame(opcode: 2, announced: 301))
        try peer.expectFault(1009)
        peer = FramePeer(feeding) { $0.maxMessageSize = 300 }
        peer.give(.binary(noise(200), more: true), PeerFrame(opcode: 0, announced: 101))
        try peer.expectFault(1009)
    }

    @Test(arguments: everyFeeding) func `a message delivered in pieces is bounded as a whole one`(feeding: Int) throws {
        let peer = FramePeer(feeding, delivery: .fragments) { $0.maxMessageSize = 300 }
        peer.give(.binary(noise(300), more: true))
        #expect(!peer.events().isEmpty)
        peer.give(.continuation([1]))
        try peer.expectFault(1009)
    }

    @Test(arguments: everyFeeding) func `an inflated message is bounded while it grows`(feeding: Int) throws {
        let deflate = try agreed("permessage-deflate; client_no_context_takeover")
        let deflater = PeerDeflater(windowBits: 15)
        let zeros = [UInt8](repeating: 0x30, count: 100_000)
        var peer = FramePeer(feeding, deflate: deflate) { $0.maxMessageSize = 100_000 }
        let payload = deflater.message(zeros)
        #expect(payload.count < 1000)
        peer.give(.compressed(payload))
        #expect(peer.events() == [.text(String(decoding: zeros, as: UTF8.self))])
        peer = FramePeer(feeding, deflate: deflate) { $0.maxMessageSize = 99_999 }
        peer.give(.compressed(payload))
        try peer.expectFault(1009)
        // Found as soon as it has grown too large, with half of its frame still to come.
        peer = FramePeer(feeding, deflate: deflate) { $0.maxMessageSize = 10_000 }
        peer.give(bytes: Array(PeerFrame.compressed(payload).bytes.prefix(8 + payload.count / 2)))
        try peer.expectFault(1009)
    }

    @Test(arguments: everyFeeding) func `as many fragments as may be are taken, one more is not`(feeding: Int) throws {
        var peer = FramePeer(feeding) { $0.maxFragments = 3 }
        peer.give(.text("a", more: true), .continuation([0x62], more: true), .continuation([0x63]))
        #expect(peer.events() == [.text("abc")])
        peer.give(.text("a", more: true), .continuation([], more: true), .continuation([], more: true))
        peer.give(.continuation([]))
        try peer.expectFault(1009)
        peer = FramePeer(feeding) { $0.maxFragments = 1 }
        peer.give(.text("a"), .text("b"))
        #expect(peer.events() == [.text("a"), .text("b")])
    }

    @Test func `a hundred thousand tiny fragments make one message`() {
        let peer = FramePeer()
        peer.connection.isAwaited = true
        let fragment = PeerFrame.continuation([0x78], more: true).bytes
        peer.give(.text("", more: true))
        peer.give(bytes: Array(repeatElement(fragment, count: 100_000).joined()))
        peer.give(.continuation([]))
        #expect(peer.events() == [.text(String(repeating: "x", count: 100_000))])
    }

    @Test(arguments: everyFeeding, [9, 10] as [UInt8])
    func `control frames come at their rate, one more is a violation`(feeding: Int, opcode: UInt8) throws {
        let peer = FramePeer(feeding) { $0.controlFrameBurst = 20 }
        for _ in 0..<20 { peer.give(PeerFrame(opcode: opcode)) }
        #expect(peer.connection.disposition == .open)
        peer.now = peer.now + .seconds(1)
        peer.give(PeerFrame(opcode: opcode), PeerFrame(opcode: opcode))
        #expect(peer.connection.disposition == .open)
        peer.give(PeerFrame(opcode: opcode))
        try peer.expectFault(1008)
    }

    @Test func `the Close frame needs no permission`() {
        let peer = FramePeer { $0.controlFrameBurst = 1 }
        peer.give(.ping(), .close(1000))
        #expect(peer.events() == [.closed(1000, reason: "")])
    }

    @Test(arguments: everyFeeding) func `of pongs that nobody takes the newest keeps the last place`(
        feeding: Int
    ) throws {
        let peer = FramePeer(feeding)
        let most = WebSocketConnection.maxWaitingPongs
        for number in 0..<most { peer.give(.ping([UInt8(number)])) }
        #expect(try peer.frames() == (0..<most).map { .pong([UInt8($0)]) })
        for number in 0..<most + 5 { peer.give(.ping([UInt8(number)])) }
        let numbers = Array(0..<most - 1) + [most + 4]
        #expect(try peer.frames() == numbers.map { .pong([UInt8($0)]) })
    }

    // MARK: Back-pressure

    @Test(arguments: everyFeeding) func `as many messages wait as may, and the peer is then not read`(feeding: Int) {
        let peer = FramePeer(feeding) { $0.maxQueuedMessages = 2 }
        peer.give(.text("1"))
        #expect(peer.connection.wantsInput)
        #expect(peer.connection.holdsData)
        peer.give(.text("2"), .text("3"), .text("4"))
        #expect(!peer.connection.wantsInput)
        #expect(peer.waiting == PeerFrame.text("3").bytes + PeerFrame.text("4").bytes)
        #expect(peer.connection.nextEvent() == .text("1"))
        #expect(peer.connection.wantsInput)
        #expect(peer.events() == [.text("2"), .text("3"), .text("4")])
        #expect(!peer.connection.holdsData)
    }

    @Test(arguments: everyFeeding) func `as many bytes wait as may, and a message under way stops there`(feeding: Int) {
        let peer = FramePeer(feeding) { $0.maxQueuedBytes = 10 }
        peer.give(.text("12345"), .text("abcdefgh"))
        #expect(!peer.connection.wantsInput)
        #expect(peer.waiting.count == 3)
        #expect(peer.connection.nextEvent() == .text("12345"))
        peer.settle()
        #expect(peer.waiting.isEmpty)
        #expect(peer.connection.nextEvent() == .text("abcdefgh"))
    }

    @Test(arguments: everyFeeding) func `a message that is awaited may be larger than what waits unasked`(feeding: Int)
    {
        let peer = FramePeer(feeding) { $0.maxQueuedBytes = 10 }
        peer.give(.binary(noise(10)))
        #expect(peer.connection.nextEvent() == .binary(noise(10)))
        peer.give(.binary(noise(11)))
        #expect(!peer.connection.wantsInput)
        #expect(peer.waiting.count == 1)
        #expect(peer.connection.nextEvent() == nil)
        peer.connection.isAwaited = true
        #expect(peer.connection.wantsInput)
        peer.settle()
        #expect(peer.connection.nextEvent() == .binary(noise(11)))
        peer.connection.isAwaited = false
        peer.give(.binary(noise(30)))
        #expect(peer.waiting.count == 20)
    }

    @Test(arguments: everyFeeding) func `behind an awaited message nothing grows beyond what may wait`(feeding: Int) {
        let peer = FramePeer(feeding) { $0.maxQueuedBytes = 10 }
        peer.connection.isAwaited = true
        peer.give(.binary(noise(25)), .binary(noise(5)))
        #expect(!peer.connection.wantsInput)
        #expect(peer.waiting.count == PeerFrame.binary(noise(5)).bytes.count)
        #expect(peer.events() == [.binary(noise(25)), .binary(noise(5))])
    }

    @Test(arguments: everyFeeding) func `a message stops in the midst of inflating, and goes on where it stopped`(
        feeding: Int
    ) throws {
        let message = [UInt8](repeating: 0x61, count: 50_000) + words(5000)
        let payload = PeerDeflater(windowBits: 15).message(message)
        let peer = FramePeer(feeding, deflate: try agreed("permessage-deflate")) { $0.maxQueuedBytes = 1000 }
        peer.give(.compressed(payload))
        #expect(!peer.connection.wantsInput)
        // What was stopped is never all given: something is left that makes it go on.
        #expect(!peer.waiting.isEmpty)
        #expect(peer.connection.nextEvent() == nil)
        peer.connection.isAwaited = true
        #expect(peer.events() == [.text(String(decoding: message, as: UTF8.self))])
        #expect(peer.waiting.isEmpty)
        peer.connection.isAwaited = false
        peer.give(.text("next"))
        #expect(peer.events() == [.text("next")])
    }

    @Test(arguments: 1...40) func `a compressed message survives any bound on what may wait`(most: Int) throws {
        let message = [UInt8](repeating: 0x61, count: 600) + words(200)
        let deflater = PeerDeflater(windowBits: 15)
        let peer = FramePeer(deflate: try agreed("permessage-deflate")) { $0.maxQueuedBytes = most }
        let text = String(decoding: message, as: UTF8.self)
        let (first, second) = (deflater.message(message), deflater.message(message))
        peer.give(.compressed(Array(first.prefix(5)), more: true), .continuation(Array(first.dropFirst(5))))
        peer.give(.compressed(second, more: true), .continuation([]))
        for _ in 0..<2 {
            #expect(peer.connection.nextEvent() == nil)
            peer.connection.isAwaited = true
            peer.settle()
            #expect(peer.connection.nextEvent() == .text(text))
            peer.connection.isAwaited = false
            peer.settle()
        }
        #expect(peer.waiting.isEmpty)
    }

    @Test func `with no read-ahead at all a message comes only when it is awaited`() {
        let peer = FramePeer { $0.maxQueuedBytes = 0 }
        peer.give(.text("a"), .text("b"))
        #expect(!peer.connection.wantsInput)
        peer.connection.isAwaited = true
        #expect(peer.events() == [.text("a"), .text("b")])
    }
}
