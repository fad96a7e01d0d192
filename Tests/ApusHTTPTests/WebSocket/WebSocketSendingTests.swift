import ApusGateway
import ApusHTTP
import FuzzTargets
import Testing

/// What leaves: frames of ours, in pieces and compressed.
@Suite struct WebSocketSendingTests {
    @Test(arguments: [0, 1, 125, 126, 1024, 1025, 0xFFFF, 0x10000, 200_000])
    func `a message of any length is one frame`(length: Int) throws {
        let peer = FramePeer()
        let bytes = noise(length)
        let text = String(repeating: "x", count: length)
        peer.connection.send(.binary(Bytes(bytes)), more: false, now: peer.now)
        peer.connection.send(.text(text), more: false, now: peer.now)
        #expect(
            try peer.frames() == [
                ReadFrame(opcode: 2, payload: bytes), ReadFrame(opcode: 1, payload: Array(text.utf8)),
            ]
        )
    }

    @Test func `a small payload lies behind its head, a large one is not copied`() throws {
        let peer = FramePeer()
        let large = Bytes(noise(OutputBuffer.inlineLimit + 1))
        peer.connection.send(.binary(Bytes(noise(OutputBuffer.inlineLimit))), more: false, now: peer.now)
        peer.connection.send(.binary(large), more: false, now: peer.now)
        _ = try peer.frames()
        #expect(peer.pieces.count == 3)
        #expect(peer.pieces.last?.memory.baseAddress == large.memory.baseAddress)
    }

    @Test func `fragments of ours are continuations, and pongs go between them`() throws {
        let peer = FramePeer()
        peer.connection.send(.text("a"), more: true, now: peer.now)
        _ = try peer.frames()
        peer.give(.ping([1]))
        peer.connection.send(.text(""), more: true, now: peer.now)
        peer.connection.send(.text("b"), more: false, now: peer.now)
        peer.connection.send(.binary(Bytes([1])), more: false, now: peer.now)
        #expect(
            try peer.frames() == [
                .pong([1]), ReadFrame(opcode: 0, payload: [], isFinal: false),
                ReadFrame(opcode: 0, payload: [0x62]), ReadFrame(opcode: 2, payload: [1]),
            ]
        )
    }

    @Test func `a pong does not come between a head and its payload`() throws {
        let peer = FramePeer()
        peer.connection.send(.binary(Bytes(noise(5000))), more: false, now: peer.now)
        let head = try #require(peer.connection.nextOutput())
        peer.give(.ping([1]))
        let payload = try #require(peer.connection.nextOutput())
        #expect(try ReadFrame.all(Array(head) + Array(payload)) == [ReadFrame(opcode: 2, payload: noise(5000))])
        #expect(try peer.frames() == [.pong([1])])
    }

    // MARK: Compression

    @Test(arguments: ["permessage-deflate", "permessage-deflate; server_no_context_takeover"])
    func `what shrinks goes out compressed, and the peer can read it`(offer: String) throws {
        let deflate = try agreed(offer)
        let peer = FramePeer(deflate: deflate)
        let inflater = PeerInflater(
            windowBits: deflate.serverMaxWindowBits,
            keepsContext: !deflate.serverNoContextTakeover
        )
        for round in 0..<20 {
            let text = words(100 + 300 * round, seed: UInt64(round))
            peer.connection.send(.text(String(decoding: text, as: UTF8.self)), more: false, now: peer.now)
            let frame = try #require(try peer.frames().first)
            #expect(frame.isCompressed && frame.opcode == 1)
            #expect(frame.payload.count < text.count)
            #expect(inflater.message(frame.payload, most: text.count) == text)
        }
    }

    @Test func `what is small or does not shrink goes out as it is`() throws {
        let peer = FramePeer(deflate: try agreed("permessage-deflate"))
        for bytes in [words(MessageDeflater.leastSize - 1), [], noise(3000)] {
            peer.connection.send(.binary(Bytes(bytes)), more: false, now: peer.now)
            #expect(try peer.frames() == [ReadFrame(opcode: 2, payload: bytes)])
        }
    }

    @Test func `a compressed message goes out in fragments of which the first has RSV1`() throws {
        let deflate = try agreed("permessage-deflate")
        let peer = FramePeer(deflate: deflate)
        let inflater = PeerInflater(windowBits: deflate.serverMaxWindowBits)
        for round in 0..<3 {
            let text = words(500, seed: UInt64(round))
            peer.connection.send(.binary(Bytes(text[..<200])), more: true, now: peer.now)
            peer.connection.send(.binary(Bytes(text[200..<210])), more: true, now: peer.now)
            peer.connection.send(.binary(Bytes()), more: true, now: peer.now)
            peer.connection.send(.binary(Bytes(text[210...])), more: false, now: peer.now)
            let frames = try peer.frames()
            #expect(frames.map(\.isCompressed) == [true, false, false, false])
            #expect(frames.map(\.opcode) == [2, 0, 0, 0])
            #expect(frames.map(\.isFinal) == [false, false, false, true])
            #expect(inflater.message(frames.flatMap(\.payload), most: 500) == text)
        }
    }

    @Test func `a message that begins uncompressed goes on so`() throws {
        let peer = FramePeer(deflate: try agreed("permessage-deflate"))
        peer.connection.send(.text("short"), more: true, now: peer.now)
        peer.connection.send(.text(String(repeating: "a", count: 500)), more: false, now: peer.now)
        #expect(try peer.frames().allSatisfy { !$0.isCompressed })
        peer.connection.send(.text(String(repeating: "a", count: 500)), more: false, now: peer.now)
        #expect(try peer.frames().allSatisfy { $0.isCompressed })
    }

    // MARK: What comes compressed

    @Test(arguments: everyFeeding) func `compressed messages arrive, whole and in fragments`(feeding: Int) throws {
        let peer = FramePeer(feeding, deflate: try agreed("permessage-deflate"))
        let deflater = PeerDeflater(windowBits: 15)
        for round in 0..<4 {
            let text = words(2000, seed: UInt64(round))
            let payload = deflater.message(text)
            let (cut, last) = (payload.count / 3, payload.count - 1)
            peer.give(.compressed(Array(payload[..<cut]), more: true), .ping())
            peer.give(.continuation(Array(payload[cut..<last]), more: true), .continuation([], more: true))
            peer.give(.continuation(Array(payload[last...]), more: round % 2 == 0))
            if round % 2 == 0 { peer.give(.continuation([])) }
            // One that is not compressed may come between.
            peer.give(.text("plain"), .compressed(deflater.message([])))
            #expect(peer.events() == [.text(String(decoding: text, as: UTF8.self)), .text("plain"), .text("")])
        }
    }

    @Test(arguments: everyFeeding) func `what cannot be inflated, and inflated text that is not UTF-8, is refused`(
        feeding: Int
    ) throws {
        for payload in [[0xFF, 0xFF, 0xFF, 0xFF], PeerDeflater(windowBits: 15).message([0x61, 0xC3])] as [[UInt8]] {
            let peer = FramePeer(feeding, deflate: try agreed("permessage-deflate"))
            peer.give(.compressed(payload))
            try peer.expectFault(1007)
        }
    }
}
