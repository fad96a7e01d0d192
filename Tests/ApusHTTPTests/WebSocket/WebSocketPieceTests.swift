import ApusGateway
import ApusHTTP
import FuzzTargets
import Testing

/// Messages that are delivered in pieces as they come.
@Suite struct WebSocketPieceTests {
    /// The pieces joined, held against the rules: all but the last say that there is more, text is never cut within a
    /// character (a String would replace what is left of it), no piece is larger than may be.
    private func joined(_ events: [WebSocketEvent]) throws -> [UInt8] {
        var bytes: [UInt8] = []
        for (index, event) in events.enumerated() {
            guard case .message(let message, let more) = event else {
                Issue.record("not a message: \(event)")
                continue
            }
            #expect(more == (index < events.count - 1))
            #expect(message.byteCount <= WebSocketConnection.maxPiece)
            switch message {
            case .text(let text): bytes += Array(text.utf8)
            case .binary(let piece): bytes += Array(piece)
            }
        }
        return bytes
    }

    @Test(arguments: everyFeeding) func `a message comes in pieces as it arrives`(feeding: Int) throws {
        let peer = FramePeer(feeding, delivery: .fragments)
        peer.give(bytes: Array(PeerFrame.binary(noise(100)).bytes.prefix(56)))
        #expect(peer.connection.holdsData)
        #expect(peer.events() == [.binary(Array(noise(100).prefix(50)), more: true)])
        peer.give(bytes: Array(PeerFrame.binary(noise(100)).bytes.dropFirst(56)))
        #expect(peer.events() == [.binary(Array(noise(100).dropFirst(50)))])
        #expect(!peer.connection.holdsData)
    }

    @Test(arguments: everyFeeding) func `a piece of text ends between characters`(feeding: Int) throws {
        let text = Array("aé€𝄞z".utf8)
        let bytes = PeerFrame.text(text).bytes
        for cut in 6..<bytes.count {
            let peer = FramePeer(feeding, delivery: .fragments)
            peer.give(bytes: Array(bytes[..<cut]))
            let first = peer.events()
            peer.give(bytes: Array(bytes[cut...]))
            let events = first + peer.events()
            #expect(events.allSatisfy { $0 != .text("", more: true) })
            #expect(try joined(events) == text)
        }
    }

    @Test func `text that comes byte by byte is delivered character by character`() {
        let peer = FramePeer(delivery: .fragments)
        var events: [WebSocketEvent] = []
        for byte in PeerFrame.text("é€𝄞").bytes {
            peer.give(bytes: [byte])
            events += peer.events()
        }
        #expect(events == [.text("é", more: true), .text("€", more: true), .text("𝄞")])
    }

    @Test(arguments: everyFeeding) func `a small message is one piece, an empty end is one too`(feeding: Int) {
        let peer = FramePeer(feeding, delivery: .fragments)
        peer.give(.text("a"), .binary([]))
        #expect(peer.events() == [.text("a"), .binary([])])
        peer.give(.text("b", more: true))
        #expect(peer.events() == [.text("b", more: true)])
        peer.give(.continuation([], more: true))
        #expect(peer.events() == [])
        peer.give(.continuation([]))
        #expect(peer.events() == [.text("")])
    }

    @Test func `a large message never sits in memory as a whole`() throws {
        let peer = FramePeer(16 * 1024, delivery: .fragments) {
            $0.maxQueuedBytes = 100_000
            $0.maxMessageSize = 2_000_000
        }
        let message = noise(1_500_000)
        let bytes = PeerFrame.binary(message).bytes
        peer.give(bytes: bytes)
        #expect(!peer.connection.wantsInput)
        #expect(bytes.count - peer.waiting.count == 14 - 4 + 4 + 100_000)
        peer.connection.isAwaited = true
        #expect(try joined(peer.events()) == message)
        #expect(!peer.connection.holdsData)
    }

    @Test func `pieces that nobody takes become few events`() throws {
        let peer = FramePeer(delivery: .fragments)
        peer.give(.text("", more: true))
        for _ in 0..<1000 { peer.give(.continuation(Array("tiny ".utf8), more: true)) }
        #expect(peer.connection.wantsInput)
        #expect(peer.events() == [.text(String(repeating: "tiny ", count: 1000), more: true)])
    }

    @Test(arguments: everyFeeding) func `a compressed message comes in pieces too`(feeding: Int) throws {
        let message = [UInt8](repeating: 0x61, count: 300_000) + words(5000)
        let peer = FramePeer(feeding, delivery: .fragments, deflate: try agreed("permessage-deflate"))
        peer.give(.compressed(PeerDeflater(windowBits: 15).message(message)))
        #expect(!peer.connection.wantsInput)
        let events = peer.events()
        #expect(events.count >= 5)
        #expect(try joined(events) == message)
        #expect(peer.waiting.isEmpty)
    }

    @Test(arguments: everyFeeding) func `text that is not UTF-8 is refused behind the pieces before it`(
        feeding: Int
    ) throws {
        let peer = FramePeer(feeding, delivery: .fragments)
        peer.give(.text("good", more: true))
        #expect(peer.events() == [.text("good", more: true)])
        peer.give(.continuation([0xE2, 0x28]))
        try peer.expectFault(1007)
    }
}
