import ApusGateway
import ApusHTTP
import FuzzTargets
import Testing

/// The close handshake, both ways, and the times of a WebSocket, which pass here as the tests wish.
@Suite struct WebSocketClosingTests {
    // MARK: The peer closes

    @Test(arguments: everyFeeding) func `the peer's Close is answered with its code, and the stream ends`(
        feeding: Int
    ) throws {
        let peer = FramePeer(feeding)
        peer.give(.close(1001, Array("bye ü".utf8)), .text("ignored"), .close(1002))
        #expect(peer.waiting.isEmpty)
        #expect(peer.events() == [.closed(1001, reason: "bye ü")])
        #expect(try peer.frames() == [.close(1001)])
        #expect(peer.connection.disposition == .close)
        #expect(peer.connection.connectionError == nil)
        #expect(peer.connection.deadline == nil)
    }

    @Test(arguments: everyFeeding) func `a Close without a code is answered without one`(feeding: Int) throws {
        let peer = FramePeer(feeding)
        peer.give(.close())
        #expect(peer.events() == [.closed(.noStatusReceived, reason: "")])
        #expect(try peer.frames() == [ReadFrame(opcode: 8, payload: [])])
        #expect(peer.connection.disposition == .close)
    }

    @Test(arguments: everyFeeding) func `a Close within a message ends both`(feeding: Int) throws {
        let peer = FramePeer(feeding)
        peer.give(.text("half", more: true), .close(1000))
        #expect(peer.events() == [.closed(1000, reason: "")])
        #expect(!peer.connection.holdsData)
        #expect(try peer.frames() == [.close(1000)])
    }

    @Test(arguments: everyFeeding) func `a Close of one byte is a protocol error`(feeding: Int) throws {
        let peer = FramePeer(feeding)
        peer.give(PeerFrame(opcode: 8, payload: [3]))
        try peer.expectFault(1002)
    }

    @Test func `a code that may not be sent is a protocol error, every other is echoed`() throws {
        for code in 0...5100 {
            let peer = FramePeer()
            peer.give(.close(code))
            if [1000...1003, 1007...1014, 3000...4999].contains(where: { $0.contains(code) }) {
                #expect(peer.events() == [.closed(WebSocketCloseCode(rawValue: code), reason: "")])
                #expect(try peer.frames() == [.close(code)])
            } else {
                try peer.expectFault(1002)
            }
        }
        let peer = FramePeer()
        peer.give(.close(0xFFFF))
        try peer.expectFault(1002)
    }

    @Test(arguments: everyFeeding) func `a reason has to be UTF-8`(feeding: Int) throws {
        for reason in [[0xFF], [0x61, 0xC3]] as [[UInt8]] {
            let peer = FramePeer(feeding)
            peer.give(.close(1000, reason))
            try peer.expectFault(1007)
        }
        let peer = FramePeer(feeding)
        peer.give(.close(1000, [UInt8](repeating: 0x61, count: 123)))
        #expect(peer.events() == [.closed(1000, reason: String(repeating: "a", count: 123))])
    }

    @Test(arguments: everyFeeding) func `what we have sent before goes out before the answer`(feeding: Int) throws {
        let peer = FramePeer(feeding)
        peer.connection.send(.text("last"), more: false, now: peer.now)
        peer.give(.ping([1]), .close(1000))
        #expect(try peer.frames() == [.pong([1]), ReadFrame(opcode: 1, payload: Array("last".utf8)), .close(1000)])
        peer.connection.send(.text("late"), more: false, now: peer.now)
        peer.connection.close(1000, reason: "", now: peer.now)
        #expect(try peer.frames() == [])
    }

    // MARK: We close

    @Test(arguments: everyFeeding) func `our Close waits for the peer's, and what comes before that is thrown away`(
        feeding: Int
    ) throws {
        let peer = FramePeer(feeding) { $0.maxQueuedMessages = 1 }
        peer.give(.text("half", more: true))
        peer.connection.close(4000, reason: "enough", now: peer.now)
        #expect(peer.connection.disposition == .open)
        #expect(!peer.connection.holdsData)
        let close = try #require(try peer.frames().first)
        #expect(close.code == 4000 && Array(close.payload.dropFirst(2)) == Array("enough".utf8))
        peer.give(.continuation(noise(1000)), .text("more"), .ping([1]), .binary(noise(70_000)))
        #expect(peer.connection.wantsInput)
        #expect(peer.events() == [])
        peer.give(.close(4000, Array("fine".utf8)))
        #expect(peer.events() == [.closed(4000, reason: "fine")])
        #expect(peer.connection.disposition == .close)
        #expect(try peer.frames() == [])
        #expect(peer.connection.deadline == nil)
    }

    @Test func `our Close in the midst of whatever comes does not lose the peer's place`() throws {
        let frames = [
            PeerFrame.text("héé", more: true), .ping([1, 2, 3]), .continuation(noise(130)), .close(1000, [0x78]),
        ]
        let bytes = frames.flatMap(\.bytes)
        for cut in 0..<(PeerFrame.text("héé", more: true).bytes.count + PeerFrame.ping([1, 2, 3]).bytes.count) {
            let peer = FramePeer()
            peer.give(bytes: Array(bytes[..<cut]))
            peer.connection.close(1000, reason: "", now: peer.now)
            peer.give(bytes: Array(bytes[cut...]))
            #expect(peer.events() == [.closed(1000, reason: "x")])
        }
        for cut in 0..<PeerFrame.close(1000, [0x78]).bytes.count {
            let peer = FramePeer()
            let close = PeerFrame.close(1000, [0x78]).bytes
            peer.give(bytes: Array(close[..<cut]))
            peer.connection.close(1001, reason: "", now: peer.now)
            peer.give(bytes: Array(close[cut...]))
            #expect(peer.events() == [.closed(1000, reason: "x")])
            #expect(try peer.frames() == [.close(1001)])
        }
    }

    @Test func `our Close in the midst of a compressed message does not lose the peer's place`() throws {
        let payload = PeerDeflater(windowBits: 15).message([UInt8](repeating: 0x61, count: 50_000))
        let peer = FramePeer(deflate: try agreed("permessage-deflate")) { $0.maxQueuedBytes = 100 }
        peer.give(.compressed(payload), .close(1000))
        #expect(!peer.connection.wantsInput)
        peer.connection.close(1000, reason: "", now: peer.now)
        #expect(peer.events() == [.closed(1000, reason: "")])
    }

    @Test func `messages that came before our Close can still be taken`() {
        let peer = FramePeer()
        peer.give(.text("before"))
        peer.connection.close(1000, reason: "", now: peer.now)
        peer.give(.text("behind"), .close(1000))
        #expect(peer.events() == [.text("before"), .closed(1000, reason: "")])
    }

    @Test(arguments: everyFeeding) func `a fault after our Close ends it without another`(feeding: Int) throws {
        let peer = FramePeer(feeding)
        peer.connection.close(1000, reason: "", now: peer.now)
        peer.give(PeerFrame(opcode: 5))
        #expect(peer.events() == [.closed(.abnormalClosure, reason: "")])
        #expect(try peer.frames() == [.close(1000)])
        #expect(peer.connection.disposition == .close)
    }

    @Test func `a reason is cut between characters where it does not fit`() throws {
        let peer = FramePeer()
        peer.connection.close(1000, reason: String(repeating: "é", count: 62), now: peer.now)
        let frame = try #require(try peer.frames().first)
        #expect(String(decoding: frame.payload.dropFirst(2), as: UTF8.self) == String(repeating: "é", count: 61))
    }

    @Test(arguments: [1005, 1006, 1015, 999, 5000, -1, 70_000])
    func `a code that may not be sent is left out`(code: Int) throws {
        let peer = FramePeer()
        peer.connection.close(WebSocketCloseCode(rawValue: code), reason: "x", now: peer.now)
        #expect(try peer.frames() == [ReadFrame(opcode: 8, payload: [])])
    }

    @Test func `only the first Close is sent`() throws {
        let peer = FramePeer()
        peer.connection.close(1000, reason: "", now: peer.now)
        peer.connection.close(1001, reason: "", now: peer.now)
        peer.connection.send(.text("late"), more: false, now: peer.now)
        #expect(try peer.frames() == [.close(1000)])
    }

    // MARK: The stream ends

    @Test func `an end without a Close frame is abnormal`() throws {
        for closes in [false, true] {
            let peer = FramePeer()
            peer.give(.text("whole"), .text("half", more: true))
            if closes { peer.connection.close(1000, reason: "", now: peer.now) }
            peer.connection.receiveEnd(now: peer.now)
            #expect(peer.events() == [.text("whole"), .closed(.abnormalClosure, reason: "")])
            #expect(peer.connection.disposition == .close)
            #expect(peer.connection.connectionError?.kind == .peerGone)
            #expect(peer.connection.deadline == nil)
        }
    }

    @Test func `an end behind a Close frame is in order`() {
        let peer = FramePeer()
        peer.give(.close(1000))
        peer.connection.receiveEnd(now: peer.now)
        #expect(peer.events() == [.closed(1000, reason: "")])
        #expect(peer.connection.connectionError == nil)
    }
}
