import ApusHTTP
import CZlib

/// What a server has agreed to in answer to an offer of permessage-deflate (RFC 7692 §7.1).
package struct DeflateAgreement: Sendable, Equatable {
    package var serverKeepsContext = true
    package var clientKeepsContext = true
    package var serverWindowBits = 15
    package var clientWindowBits = 15

    /// Reads `sec-websocket-extensions` of an answer; nil where there is none.
    ///
    /// - Throws: Where the answer is not one that the offer allows.
    init?(answer: String?, offer: String?) throws {
        guard let answer else { return nil }
        guard let offer else { throw ClientFailure("an extension that nobody offered: \(answer)") }
        let parts = answer.split(separator: ";").map { $0.filter { $0 != " " && $0 != "\"" } }
        guard parts.first == "permessage-deflate" else { throw ClientFailure("an unknown extension: \(answer)") }
        var seen: Set<String> = []
        for part in parts.dropFirst() {
            let pair = part.split(separator: "=", maxSplits: 1).map { String($0) }
            let bits = pair.count == 2 ? Int(pair[1]) : nil
            guard seen.insert(pair[0]).inserted else { throw ClientFailure("a parameter twice: \(answer)") }
            switch (pair[0], bits) {
            case ("server_no_context_takeover", nil): serverKeepsContext = false
            case ("client_no_context_takeover", nil): clientKeepsContext = false
            case ("server_max_window_bits", let bits?) where (8...15).contains(bits): serverWindowBits = bits
            // RFC 7692 §7.1.2.2: only where the client has said that it can.
            case ("client_max_window_bits", let bits?)
            where (8...15).contains(bits) && offer.contains("client_max_window_bits"): clientWindowBits = bits
            default: throw ClientFailure("a parameter that cannot be: \(answer)")
            }
        }
    }
}

/// zlib's raw deflate for a client's messages.
final class ClientDeflater {
    private let stream = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)
    private let keepsContext: Bool

    init(_ agreement: DeflateAgreement) {
        keepsContext = agreement.clientKeepsContext
        stream.initialize(to: z_stream())
        // zlib cannot make raw streams with a window of 2^8 bytes; no server here asks for that.
        deflateInit2_(
            stream,
            Z_DEFAULT_COMPRESSION,
            Z_DEFLATED,
            -Int32(max(9, agreement.clientWindowBits)),
            8,
            Z_DEFAULT_STRATEGY,
            ZLIB_VERSION,
            Int32(MemoryLayout<z_stream>.size)
        )
    }

    deinit {
        deflateEnd(stream)
        stream.deallocate()
    }

    /// A message's payload: flushed, and without the four bytes that every flush ends with (RFC 7692 §7.2.1).
    func deflate(_ payload: [UInt8]) -> [UInt8] {
        if !keepsContext { deflateReset(stream) }
        let all = run(stream, payload, Z_SYNC_FLUSH, CZlib.deflate).bytes
        // zlib does not flush twice at one place; an empty message is one byte then (RFC 7692 §7.2.3.6).
        return all.isEmpty ? [0] : Array(all.dropLast(4))
    }
}

/// zlib's raw inflate for a server's messages.
final class ClientInflater {
    private let stream = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)
    private let keepsContext: Bool

    init(_ agreement: DeflateAgreement) {
        keepsContext = agreement.serverKeepsContext
        stream.initialize(to: z_stream())
        // Exactly the window that was agreed on: a server that reaches back further is found out.
        inflateInit2_(stream, -Int32(agreement.serverWindowBits), ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size))
    }

    deinit {
        inflateEnd(stream)
        stream.deallocate()
    }

    func inflate(_ payload: [UInt8]) throws -> [UInt8] {
        if !keepsContext { inflateReset(stream) }
        let (bytes, status) = run(stream, payload + [0, 0, 0xFF, 0xFF], Z_SYNC_FLUSH, CZlib.inflate)
        guard status == Z_OK || status == Z_BUF_ERROR, stream.pointee.avail_in == 0 else {
            throw ClientFailure("the server's deflate data is broken: \(status)")
        }
        return bytes
    }
}

/// Puts all of the input through one of zlib's two functions.
private func run(
    _ stream: UnsafeMutablePointer<z_stream>,
    _ input: [UInt8],
    _ flush: Int32,
    _ function: (UnsafeMutablePointer<z_stream>?, Int32) -> Int32
) -> (bytes: [UInt8], status: Int32) {
    var input = input
    var output: [UInt8] = []
    var status = Z_OK
    input.withUnsafeMutableBufferPointer { input in
        stream.pointee.next_in = input.baseAddress
        stream.pointee.avail_in = UInt32(input.count)
        var room = 0
        repeat {
            let piece = [UInt8](unsafeUninitializedCapacity: 64 * 1024) { target, filled in
                stream.pointee.next_out = target.baseAddress
                stream.pointee.avail_out = UInt32(target.count)
                status = function(stream, flush)
                room = Int(stream.pointee.avail_out)
                filled = target.count - room
            }
            output += piece
        } while room == 0 && status == Z_OK
    }
    return (output, status)
}
