import ApusHTTP
import CZlib
import Glibc
import Testing

struct PerMessageDeflateTests {
    @Test(arguments: [
        ("permessage-deflate", "permessage-deflate; server_max_window_bits=12"),
        // What browsers offer.
        (
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate; server_max_window_bits=12; client_max_window_bits=15"
        ),
        (
            "permessage-deflate; server_no_context_takeover",
            "permessage-deflate; server_no_context_takeover; server_max_window_bits=12"
        ),
        (
            "permessage-deflate; client_no_context_takeover",
            "permessage-deflate; client_no_context_takeover; server_max_window_bits=12"
        ),
        ("permessage-deflate; server_max_window_bits=15", "permessage-deflate; server_max_window_bits=12"),
        ("permessage-deflate; server_max_window_bits=12", "permessage-deflate; server_max_window_bits=12"),
        ("permessage-deflate; server_max_window_bits=11", "permessage-deflate; server_max_window_bits=11"),
        ("permessage-deflate; server_max_window_bits=9", "permessage-deflate; server_max_window_bits=9"),
        (
            "permessage-deflate; client_max_window_bits=14",
            "permessage-deflate; server_max_window_bits=12; client_max_window_bits=14"
        ),
        (
            "permessage-deflate; client_max_window_bits=8",
            "permessage-deflate; server_max_window_bits=12; client_max_window_bits=8"
        ),
        (
            "permessage-deflate ;client_max_window_bits = \"9\"\t; server_max_window_bits=\"10\"",
            "permessage-deflate; server_max_window_bits=10; client_max_window_bits=9"
        ),
        (
            "permessage-deflate; client_no_context_takeover; client_max_window_bits=10; server_no_context_takeover; "
                + "server_max_window_bits=10",
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=10; "
                + "client_max_window_bits=10"
        ),
    ])
    func `an offer is accepted with every parameter that it asks for`(_ offer: String, _ response: String) {
        #expect(negotiated(offer)?.response == response)
    }

    @Test(arguments: [
        "x-webkit-deflate-frame", "permessage-bzip2", "permessage-deflate; nonsense",
        "permessage-deflate; mystery=1", "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; client_no_context_takeover=true", "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits=7", "permessage-deflate; server_max_window_bits=8",
        "permessage-deflate; server_max_window_bits=16", "permessage-deflate; server_max_window_bits=012",
        "permessage-deflate; server_max_window_bits=1e1", "permessage-deflate; server_max_window_bits=+9",
        "permessage-deflate; server_max_window_bits=99999999999999999999",
        "permessage-deflate; client_max_window_bits=7", "permessage-deflate; client_max_window_bits=16",
        "permessage-deflate; client_max_window_bits=09", "permessage-deflate; client_max_window_bits=x",
        "permessage-deflate; server_max_window_bits=10; server_max_window_bits=10",
        "permessage-deflate; client_max_window_bits; client_max_window_bits=10",
        "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
        "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
    ])
    func `an offer that cannot be kept to is declined`(_ offer: String) {
        #expect(negotiated(offer) == nil)
        // The next one is taken in its place.
        let next = negotiated("\(offer), permessage-deflate; server_max_window_bits=10, permessage-deflate")
        #expect(next?.response == "permessage-deflate; server_max_window_bits=10")
    }

    @Test func `the parameters are the ones of the response`() throws {
        let plain = try #require(negotiated("permessage-deflate"))
        #expect(!plain.serverNoContextTakeover)
        #expect(!plain.clientNoContextTakeover)
        #expect(plain.serverMaxWindowBits == 12)
        #expect(plain.clientMaxWindowBits == 15)
        let narrow = try #require(
            negotiated(
                "permessage-deflate; client_max_window_bits=8; client_no_context_takeover; server_no_context_takeover"
            )
        )
        #expect(narrow.serverNoContextTakeover)
        #expect(narrow.clientNoContextTakeover)
        #expect(narrow.clientMaxWindowBits == 8)
    }

    // MARK: - Memory

    /// Memory that fits so many contexts, and what is agreed on with it and with a byte less.
    @Test func `what does not fit the memory is agreed on with a smaller window or none kept`() {
        let ours = PerMessageDeflate.deflateMemory(windowBits: 12)
        func response(_ offer: String, _ memory: Int) -> String? {
            var options = WebSocketOptions()
            options.maxCompressionMemory = memory
            return negotiated(offer, options).map { String($0.response.dropFirst("permessage-deflate; ".count)) }
        }
        let bits = "server_max_window_bits=12"

        let limitable = "permessage-deflate; client_max_window_bits"
        for window in 12...15 {
            let fits = ours + PerMessageDeflate.inflateMemory(windowBits: window)
            #expect(response(limitable, fits) == "\(bits); client_max_window_bits=\(window)")
        }
        let least = ours + PerMessageDeflate.inflateMemory(windowBits: 12)
        #expect(response(limitable, least - 1) == "client_no_context_takeover; \(bits); client_max_window_bits=15")
        #expect(response(limitable, ours) == "client_no_context_takeover; \(bits); client_max_window_bits=15")

        let fixed = "permessage-deflate"
        let whole = ours + PerMessageDeflate.inflateMemory(windowBits: 15)
        #expect(response(fixed, whole) == bits)
        #expect(response(fixed, whole - 1) == "client_no_context_takeover; \(bits)")

        // Ours comes first; where it alone does not fit, the client's may.
        let without = "server_no_context_takeover"
        #expect(response(fixed, ours - 1) == "\(without); client_no_context_takeover; \(bits)")
        #expect(response(limitable, ours - 1) == "\(without); \(bits); client_max_window_bits=14")
        #expect(response(fixed, 0) == "\(without); client_no_context_takeover; \(bits)")
    }

    @Test(arguments: 9...15)
    func `the memory that is reckoned with covers what zlib takes`(_ windowBits: Int) {
        let memory = ZlibMemory()
        let deflated = memory.ofDeflating(words(100_000), windowBits: windowBits, PerMessageDeflate.memoryLevel)
        #expect(deflated.peak <= PerMessageDeflate.deflateMemory(windowBits: windowBits))
        #expect(deflated.peak > PerMessageDeflate.deflateMemory(windowBits: windowBits) * 3 / 4)
        let inflated = memory.ofInflating(deflated.output, windowBits: windowBits)
        #expect(inflated <= PerMessageDeflate.inflateMemory(windowBits: windowBits) + 512)
        #expect(inflated > PerMessageDeflate.inflateMemory(windowBits: windowBits) * 3 / 4)
    }
}

/// Counts what zlib allocates.
private final class ZlibMemory {
    private let taken = UnsafeMutablePointer<Int>.allocate(capacity: 1)
    private let stream = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)

    deinit {
        taken.deallocate()
        stream.deallocate()
    }

    func ofDeflating(_ bytes: [UInt8], windowBits: Int, _ level: Int) -> (peak: Int, output: [UInt8]) {
        prepare()
        let size = Int32(MemoryLayout<z_stream>.size)
        let bits = Int32(-windowBits)
        deflateInit2_(stream, 6, Z_DEFLATED, bits, Int32(level), Z_DEFAULT_STRATEGY, ZLIB_VERSION, size)
        defer { deflateEnd(stream) }
        let output = run(bytes, room: bytes.count) { deflate($0, Z_SYNC_FLUSH) }
        return (taken.pointee, output)
    }

    func ofInflating(_ bytes: [UInt8], windowBits: Int) -> Int {
        prepare()
        inflateInit2_(stream, Int32(-windowBits), ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size))
        defer { inflateEnd(stream) }
        _ = run(bytes, room: 200_000) { inflate($0, Z_SYNC_FLUSH) }
        return taken.pointee
    }

    private func prepare() {
        taken.initialize(to: 0)
        stream.initialize(to: z_stream())
        stream.pointee.opaque = UnsafeMutableRawPointer(taken)
        stream.pointee.zalloc = { taken, items, size in
            taken?.assumingMemoryBound(to: Int.self).pointee += Int(items) * Int(size)
            return malloc(Int(items) * Int(size))
        }
        stream.pointee.zfree = { _, memory in free(memory) }
    }

    private func run(_ bytes: [UInt8], room: Int, _ step: (UnsafeMutablePointer<z_stream>) -> Int32) -> [UInt8] {
        var input = bytes
        var output = [UInt8](repeating: 0, count: room)
        input.withUnsafeMutableBufferPointer { input in
            output.withUnsafeMutableBufferPointer { output in
                stream.pointee.next_in = input.baseAddress
                stream.pointee.avail_in = UInt32(input.count)
                stream.pointee.next_out = output.baseAddress
                stream.pointee.avail_out = UInt32(output.count)
                _ = step(stream)
            }
        }
        return Array(output.prefix(room - Int(stream.pointee.avail_out)))
    }
}
