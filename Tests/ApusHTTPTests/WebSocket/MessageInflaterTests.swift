import ApusHTTP
import FuzzTargets
import Testing

struct MessageInflaterTests {
    /// RFC 7692 §7.2.3: what each example stands for.
    private static let examples: [(String, [UInt8], String)] = [
        ("one block", [0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00], "Hello"),
        ("no compression", [0x00, 0x05, 0x00, 0xFA, 0xFF, 0x48, 0x65, 0x6C, 0x6C, 0x6F, 0x00], "Hello"),
        ("a final block", [0xF3, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00, 0x00], "Hello"),
        (
            "two blocks",
            [0xF2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xFF, 0xFF, 0xCA, 0xC9, 0xC9, 0x07, 0x00],
            "Hello"
        ),
        ("an empty message", [0x00], ""),
    ]

    @Test func `the examples of RFC 7692 are inflated in pieces of every size`() throws {
        for (name, payload, text) in Self.examples {
            for inputSize in 1...payload.count {
                for outputSize in 1...6 {
                    let reader = try Reader(agreed("permessage-deflate"), inputSize, outputSize)
                    #expect(reader.text(payload) == text, "\(name)")
                    // Taken over: the context is fit for another message.
                    #expect(reader.text(payload) == text, "\(name)")
                }
            }
        }
    }

    @Test func `a message may refer back to the one before, where the context is taken over`() throws {
        let first: [UInt8] = [0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00]
        let second: [UInt8] = [0xF2, 0x00, 0x11, 0x00, 0x00]
        let reader = try Reader(agreed("permessage-deflate"))
        #expect(reader.text(first) == "Hello")
        #expect(reader.text(second) == "Hello")
        let forgetful = try Reader(agreed("permessage-deflate; client_no_context_takeover"))
        #expect(forgetful.text(first) == "Hello")
        #expect(forgetful.message(second) == .failure(.invalid))
    }

    @Test func `a final block keeps the window for what follows it`() throws {
        // Two streams that end with BFINAL; the third refers back to both across them.
        let payload = [0xF3, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00, 0xF3, 0x00, 0x11, 0x00, 0x00] as [UInt8]
        for outputSize in 1...12 {
            let reader = try Reader(agreed("permessage-deflate; client_no_context_takeover"), 1, outputSize)
            #expect(reader.text(payload) == "HelloHello")
        }
        // Also for the next message.
        let reader = try Reader(agreed("permessage-deflate"))
        #expect(reader.text(payload) == "HelloHello")
        #expect(reader.text([0xF2, 0x00, 0x11, 0x00, 0x00]) == "Hello")
    }

    @Test func `a message of final blocks may lack the octet that makes room for the tail`() throws {
        let peer = PeerDeflater(windowBits: 15)
        let text = words(5000)
        let payload = peer.finalBlocks(text)
        let reader = try Reader(agreed("permessage-deflate"), 7, 100)
        #expect(reader.message(payload) == .success(text))
        #expect(reader.message(payload + [0x00]) == .success(text))
        #expect(reader.message([]) == .success([]))
        #expect(reader.message(payload) == .success(text))
    }

    @Test func `a final block whose data does not fit at once lacks the octet as well`() throws {
        // All of the payload is taken before all of its data is written.
        let payload: [UInt8] = [0x33, 0x2A, 0xC9, 0x48, 0xC3, 0x01, 0x00]
        for outputSize in 1...30 {
            let reader = try Reader(agreed("permessage-deflate"), 7, outputSize)
            #expect(reader.text(payload) == "2th" + String(repeating: "f", count: 24))
        }
    }

    @Test func `a message may end where its last block does, its output full`() throws {
        // The tail is the end of the stored data, and no empty block follows.
        let payload: [UInt8] = [0x00, 0x05, 0x00, 0xFA, 0xFF, 0x28]
        for outputSize in 1...6 {
            let reader = try Reader(agreed("permessage-deflate"), 1, outputSize)
            #expect(reader.message(payload) == .success([0x28, 0x00, 0x00, 0xFF, 0xFF]))
            #expect(reader.message([0x00]) == .success([]))
        }
    }

    @Test func `the tail may be what ends a final block`() throws {
        let reader = try Reader(agreed("permessage-deflate"))
        // "Hello" ends two bits into the last octet; then comes the header of an empty stored block, here with BFINAL set.
        #expect(reader.text([0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x04]) == "Hello")
        #expect(reader.text([0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00]) == "Hello")
    }

    @Test(arguments: 9...15)
    func `every window of a client's is inflated`(_ windowBits: Int) throws {
        for takeover in ["", "; client_no_context_takeover"] {
            let peer = PeerDeflater(windowBits: windowBits)
            let reader = try Reader(
                agreed("permessage-deflate; client_max_window_bits=\(windowBits)\(takeover)"),
                1000,
                4096
            )
            #expect(reader.agreed.clientMaxWindowBits == windowBits)
            for (index, size) in [0, 1, 300, 100_000, 32_768, 7].enumerated() {
                let text = words(size, seed: UInt64(index / 2)) + noise(size / 3, seed: UInt64(index / 2))
                let sender = takeover.isEmpty ? peer : PeerDeflater(windowBits: windowBits)
                #expect(reader.message(sender.message(text)) == .success(text))
            }
        }
    }

    @Test func `a window of 8 is inflated with a larger one`() throws {
        let reader = try Reader(agreed("permessage-deflate; client_max_window_bits=8"))
        // zlib's own window of 9 refers back 250 bytes at most.
        let text = words(3000)
        #expect(reader.message(PeerDeflater(windowBits: 9).message(text)) == .success(text))
    }

    @Test(
        arguments: [
            ("a reserved type of block", [0x07]),
            ("a stored block whose lengths do not match", [0x00, 0x05, 0x00, 0x00, 0x00, 0x48]),
            ("a reference to before the start", [0xF2, 0x00, 0x11, 0x00, 0x00]),
            ("too many codes", [0xFC, 0xFF, 0xFF, 0xFF, 0xFF]),
            ("a block cut short", [0xF2, 0x48, 0xCD]),
            ("a stored block cut short", [0x00, 0x06, 0x00, 0xF9, 0xFF, 0x48]),
            ("a tail that was not cut off", [0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00, 0x00, 0x00, 0xFF, 0xFF]),
            ("an octet behind a final block that begins no block", [0xF3, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00, 0x06]),
        ] as [(String, [UInt8])]
    )
    func `data that is not DEFLATE is invalid once and for all`(_ name: String, _ payload: [UInt8]) throws {
        for inputSize in 1...payload.count {
            let reader = try Reader(agreed("permessage-deflate"), inputSize, 3)
            #expect(reader.message(payload) == .failure(.invalid), "\(name)")
            #expect(!reader.inflater.hasContext)
            #expect(reader.message([0x00]) == .failure(.invalid), "\(name)")
        }
    }

    @Test func `garbage neither traps nor runs on`() throws {
        var generator = SeededGenerator(state: 7692)
        var valid = 0
        for round in 0..<20_000 {
            var payload = noise(Int.random(in: 1...60, using: &generator), seed: UInt64(round))
            // Most garbage fails at its first block: begin like a message.
            if round % 2 == 0 { payload = [0xF2, 0x48, 0xCD, 0xC9, 0xC9] + payload }
            let reader = try Reader(agreed("permessage-deflate"), 5, 64)
            if case .success = reader.message(payload, most: 1 << 20) { valid += 1 }
        }
        #expect(valid < 10_000)
    }

    @Test func `a bomb is inflated no further than there is room for`() throws {
        let zeros = [UInt8](repeating: 0, count: 64 << 20)
        let bomb = PeerDeflater(windowBits: 15).message(zeros)
        #expect(bomb.count * 1000 < zeros.count)
        let inflater = MessageInflater(try agreed("permessage-deflate"))
        var output = [UInt8](repeating: 1, count: 16 * 1024)
        var consumed = 0
        var produced = 0
        while produced < 1 << 20 {
            let step = bomb.withUnsafeBytes { bomb in
                output.withUnsafeMutableBytes { output in
                    inflater.inflate(UnsafeRawBufferPointer(rebasing: bomb[consumed...]), into: output)
                }
            }
            consumed += step.consumed
            produced += step.produced
            try #require(step.progress == .outputFull)
            try #require(step.produced == output.count)
        }
        #expect(produced == 1 << 20)
        // What has been read stands for what has been written, and for little more that zlib holds in its bit buffer.
        #expect(consumed < 1200)
    }

    @Test func `nothing is allocated before the first message nor kept after one without take-over`() throws {
        let idle = MessageInflater(try agreed("permessage-deflate"))
        #expect(!idle.hasContext)
        let keeping = try Reader(agreed("permessage-deflate"))
        _ = keeping.text([0x00])
        #expect(keeping.inflater.hasContext)
        let forgetful = try Reader(agreed("permessage-deflate; client_no_context_takeover"))
        _ = forgetful.text([0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00])
        #expect(!forgetful.inflater.hasContext)
    }

    @Test func `an output without room takes nothing`() throws {
        let inflater = MessageInflater(try agreed("permessage-deflate"))
        let none = UnsafeMutableRawBufferPointer(start: nil, count: 0)
        let step = [UInt8]([0xF2, 0x48]).withUnsafeBytes { inflater.inflate($0, into: none) }
        #expect(step.progress == .outputFull)
        #expect(step.consumed == 0)
        #expect(step.produced == 0)
    }
}

/// Inflates whole messages in pieces of the sizes it is told.
private final class Reader {
    enum Outcome: Equatable {
        case success([UInt8])
        case failure(MessageInflater.Progress)
    }

    let agreed: PerMessageDeflate
    let inflater: MessageInflater
    private let inputSize: Int
    private var output: [UInt8]

    init(_ agreed: PerMessageDeflate, _ inputSize: Int = 1 << 20, _ outputSize: Int = 1 << 20) {
        self.agreed = agreed
        inflater = MessageInflater(agreed)
        self.inputSize = inputSize
        output = [UInt8](repeating: 0, count: outputSize)
    }

    func text(_ payload: [UInt8]) -> String? {
        guard case .success(let bytes) = message(payload) else { return nil }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Ends early, as an engine would, once there are more than `most` bytes.
    func message(_ payload: [UInt8], most: Int = .max) -> Outcome {
        var whole: [UInt8] = []
        var position = 0
        while true {
            let isDone = position == payload.count
            let piece = payload[position..<min(position + inputSize, payload.count)]
            let step = piece.withUnsafeBytes { piece in
                output.withUnsafeMutableBytes { output in
                    isDone ? inflater.finish(into: output) : inflater.inflate(piece, into: output)
                }
            }
            position += step.consumed
            whole += output.prefix(step.produced)
            guard whole.count <= most else { return .failure(.outputFull) }
            switch step.progress {
            case .messageEnded: return .success(whole)
            case .invalid, .outOfMemory: return .failure(step.progress)
            case .needsInput, .outputFull: continue
            }
        }
    }
}
