import CZlib

/// The peer's side of permessage-deflate: zlib itself, used directly.
package final class PeerDeflater {
    private let stream = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)

    package init(windowBits: Int, level: Int32 = 9) {
        stream.initialize(to: z_stream())
        let size = Int32(MemoryLayout<z_stream>.size)
        let bits = Int32(-windowBits)
        _ = deflateInit2_(stream, level, Z_DEFLATED, bits, 8, Z_DEFAULT_STRATEGY, ZLIB_VERSION, size)
    }

    deinit {
        deflateEnd(stream)
        stream.deallocate()
    }

    /// A whole message as it goes on the wire, without its tail.
    package func message(_ bytes: [UInt8]) -> [UInt8] {
        Array(compress(bytes, flush: Z_SYNC_FLUSH).dropLast(4))
    }

    /// Everything in final blocks (RFC 7692 §7.2.3.4), and no octet behind them.
    package func finalBlocks(_ bytes: [UInt8]) -> [UInt8] {
        compress(bytes, flush: Z_FINISH)
    }

    private func compress(_ bytes: [UInt8], flush: Int32) -> [UInt8] {
        var input = bytes
        var output = [UInt8](repeating: 0, count: bytes.count + bytes.count / 8 + 1024)
        let room = output.count
        input.withUnsafeMutableBufferPointer { input in
            output.withUnsafeMutableBufferPointer { output in
                stream.pointee.next_in = input.baseAddress
                stream.pointee.avail_in = UInt32(input.count)
                stream.pointee.next_out = output.baseAddress
                stream.pointee.avail_out = UInt32(room)
                _ = deflate(stream, flush)
            }
        }
        return Array(output.prefix(room - Int(stream.pointee.avail_out)))
    }
}

/// The peer's side again: inflates with a window of exactly the size agreed on, which finds out what refers too far back.
package final class PeerInflater {
    private let stream = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)
    private let keepsContext: Bool

    package init(windowBits: Int, keepsContext: Bool = true) {
        self.keepsContext = keepsContext
        stream.initialize(to: z_stream())
        _ = inflateInit2_(stream, Int32(-windowBits), ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size))
    }

    deinit {
        inflateEnd(stream)
        stream.deallocate()
    }

    /// A whole message; nil where it is not DEFLATE, refers back past the window, or does not end where it should.
    package func message(_ payload: [UInt8], most: Int) -> [UInt8]? {
        var input = payload + [0x00, 0x00, 0xFF, 0xFF]
        var output = [UInt8](repeating: 0, count: most + 64)
        let room = output.count
        let result = input.withUnsafeMutableBufferPointer { input in
            output.withUnsafeMutableBufferPointer { output in
                stream.pointee.next_in = input.baseAddress
                stream.pointee.avail_in = UInt32(input.count)
                stream.pointee.next_out = output.baseAddress
                stream.pointee.avail_out = UInt32(room)
                return inflate(stream, Z_SYNC_FLUSH)
            }
        }
        guard result == Z_OK, stream.pointee.avail_in == 0, stream.pointee.data_type & 128 != 0 else { return nil }
        if !keepsContext { inflateReset(stream) }
        return Array(output.prefix(room - Int(stream.pointee.avail_out)))
    }
}
