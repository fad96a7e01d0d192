import ApusGateway
import ApusHTTP
import FuzzTargets
import Testing

struct MessageDeflaterTests {
    /// Starts a message that is a single piece.
    private func whole(_ deflater: MessageDeflater, _ bytes: [UInt8]) -> [UInt8]? {
        bytes.withUnsafeBytes { deflater.start($0, isLast: true).map { Array($0) } }
    }

    @Test(arguments: 9...12)
    func `the peer inflates every message with the window agreed on`(_ windowBits: Int) throws {
        for takeover in ["", "; server_no_context_takeover"] {
            let deflater = MessageDeflater(
                try agreed("permessage-deflate; server_max_window_bits=\(windowBits)\(takeover)")
            )
            let peer = PeerInflater(windowBits: windowBits, keepsContext: takeover.isEmpty)
            for (index, size) in [64, 100, 1000, 65_536, 300_000, 100, 64].enumerated() {
                let text = words(size, seed: UInt64(index))
                let payload = try #require(whole(deflater, text))
                #expect(payload.count < text.count)
                #expect(payload.suffix(4) != [0x00, 0x00, 0xFF, 0xFF])
                #expect(peer.message(payload, most: size) == text)
            }
        }
    }

    @Test func `a context that is taken over makes the same message smaller`() throws {
        let keeping = MessageDeflater(try agreed("permessage-deflate"))
        let text = words(1000)
        let first = try #require(whole(keeping, text))
        let second = try #require(whole(keeping, text))
        #expect(second.count * 10 < first.count)
        #expect(keeping.hasContext)

        let forgetful = MessageDeflater(try agreed("permessage-deflate; server_no_context_takeover"))
        #expect(whole(forgetful, text) == first)
        #expect(whole(forgetful, text) == first)
        #expect(!forgetful.hasContext)
    }

    @Test func `a message too short to win anything goes out as it is and allocates nothing`() throws {
        let deflater = MessageDeflater(try agreed("permessage-deflate"))
        let zeros = [UInt8](repeating: 0, count: MessageDeflater.leastSize)
        #expect(whole(deflater, []) == nil)
        #expect(whole(deflater, Array(zeros.dropLast())) == nil)
        #expect(!deflater.hasContext)
        #expect(whole(deflater, zeros) != nil)
    }

    @Test func `what does not shrink goes out as it is and leaves the peer's context fit`() throws {
        let deflater = MessageDeflater(try agreed("permessage-deflate"))
        let peer = PeerInflater(windowBits: 12)
        let text = words(2000)
        var compressed = 0
        for round in 0..<200 {
            if round % 3 == 0 { _ = whole(deflater, noise(3000, seed: UInt64(round))) }
            guard let payload = whole(deflater, text) else { continue }
            compressed += 1
            #expect(peer.message(payload, most: text.count) == text)
        }
        #expect(compressed > 100)
    }

    @Test func `data that does not shrink is tried ever less often`() throws {
        let deflater = MessageDeflater(try agreed("permessage-deflate"))
        let text = words(1000)
        var pauses: [Int] = []
        for _ in 0..<9 {
            #expect(whole(deflater, noise(1000)) == nil)
            // Text tells when the next message is tried; noise in its place would not.
            var pause = 0
            let probe = noise(1000, seed: 2)
            while pause < pauses.last.map({ $0 * 2 }) ?? 1, pause < MessageDeflater.maxUntried {
                #expect(whole(deflater, pause % 2 == 0 ? text : probe) == nil)
                pause += 1
            }
            pauses.append(pause)
        }
        #expect(pauses == [1, 2, 4, 8, 16, 32, 64, 64, 64])
        // One that shrinks ends it.
        #expect(whole(deflater, text) != nil)
        #expect(whole(deflater, noise(1000)) == nil)
        #expect(whole(deflater, text) == nil)
        #expect(whole(deflater, text) != nil)
    }

    @Test func `a compressed message is smaller by a byte at least`() throws {
        // Noise with ever more zeros behind it, from what does not pay to what does.
        var smallest: Int?
        for zeros in 0..<40 {
            let deflater = MessageDeflater(try agreed("permessage-deflate"))
            let message = noise(100) + [UInt8](repeating: 0, count: zeros)
            guard let payload = whole(deflater, message) else { continue }
            smallest = smallest ?? zeros
            #expect(payload.count < message.count)
            #expect(PeerInflater(windowBits: 12).message(payload, most: message.count) == message)
        }
        #expect(try #require(smallest) > 0)
    }

    @Test(arguments: ["", "; server_no_context_takeover"])
    func `the pieces of a message can each be inflated as they come`(_ takeover: String) throws {
        let agreed = try agreed("permessage-deflate\(takeover)")
        let deflater = MessageDeflater(agreed)
        let peer = PeerInflater(windowBits: 12, keepsContext: takeover.isEmpty)
        let text = words(10_000) + noise(5000) + words(10_000)
        for size in [70, 999, 4096, 25_000] {
            var payload: [UInt8] = []
            var position = 0
            while position < text.count {
                let piece = text[position..<min(position + size, text.count)]
                position += piece.count
                let isLast = position == text.count
                let frame = piece.withUnsafeBytes {
                    payload.isEmpty ? deflater.start($0, isLast: isLast) : deflater.resume($0, isLast: isLast)
                }
                payload += try #require(frame)
                if !isLast { #expect(payload.suffix(4) == [0x00, 0x00, 0xFF, 0xFF]) }
            }
            #expect(peer.message(payload, most: text.count) == text)
        }
        #expect(deflater.hasContext == takeover.isEmpty)
    }

    @Test func `an empty last piece is the octet that the tail belongs to`() throws {
        let deflater = MessageDeflater(try agreed("permessage-deflate"))
        let peer = PeerInflater(windowBits: 12)
        let text = words(500)
        let none = UnsafeRawBufferPointer(start: nil, count: 0)
        for _ in 0..<3 {
            var payload = Array(try #require(text.withUnsafeBytes { deflater.start($0, isLast: false) }))
            #expect(deflater.resume(none, isLast: false).isEmpty)
            let last = Array(deflater.resume(none, isLast: true))
            #expect(last == [0x00])
            payload += last
            #expect(peer.message(payload, most: text.count) == text)
        }
    }

    @Test func `a first piece that does not shrink leaves the whole message as it is`() throws {
        let deflater = MessageDeflater(try agreed("permessage-deflate"))
        #expect(noise(1000).withUnsafeBytes { deflater.start($0, isLast: false) } == nil)
        #expect(words(1000).withUnsafeBytes { deflater.start($0, isLast: false) } == nil)
        let payload = try #require(whole(deflater, words(1000)))
        #expect(PeerInflater(windowBits: 12).message(payload, most: 1000) == words(1000))
    }

    @Test func `pieces behind the first are compressed whether or not they shrink`() throws {
        let deflater = MessageDeflater(try agreed("permessage-deflate"))
        var payload = Array(try #require(words(1000).withUnsafeBytes { deflater.start($0, isLast: false) }))
        payload += noise(200_000).withUnsafeBytes { deflater.resume($0, isLast: true) }
        let whole = words(1000) + noise(200_000)
        #expect(PeerInflater(windowBits: 12).message(payload, most: whole.count) == whole)
    }

    @Test func `our inflater understands our deflater over messages of all kinds`() throws {
        for takeover in ["", "; client_no_context_takeover; server_no_context_takeover"] {
            let agreed = try agreed("permessage-deflate\(takeover)")
            let deflater = MessageDeflater(agreed)
            let inflater = MessageInflater(agreed)
            var generator = SeededGenerator(state: 15)
            for round in 0..<300 {
                let seed = UInt64(round / 3)
                let text = words(Int.random(in: 0..<5000, using: &generator), seed: seed)
                let message = round % 7 == 0 ? noise(text.count, seed: seed) : text
                guard let payload = whole(deflater, message) else { continue }
                #expect(inflated(payload, by: inflater) == message)
            }
        }
    }

    private func inflated(_ payload: [UInt8], by inflater: MessageInflater) -> [UInt8] {
        var output = [UInt8](repeating: 0, count: 1 << 16)
        let counts = payload.withUnsafeBytes { payload in
            output.withUnsafeMutableBytes { output in
                let step = inflater.inflate(payload, into: output)
                let rest = UnsafeMutableRawBufferPointer(rebasing: output[step.produced...])
                return step.produced + inflater.finish(into: rest).produced
            }
        }
        return Array(output.prefix(counts))
    }
}
