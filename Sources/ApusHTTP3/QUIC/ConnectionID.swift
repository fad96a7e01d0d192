import CNgtcp2

/// A QUIC connection ID (RFC 9000 §5.1): up to 20 bytes, held inline so that looking one up allocates nothing.
package struct ConnectionID: Hashable, Sendable {
    /// The longest connection ID of QUIC version 1 (RFC 9000 §17.2).
    package static let maximumLength = 20

    // The bytes in memory order; those past `count` are zero, so that equality is that of the words.
    private var words: (UInt64, UInt64, UInt32) = (0, 0, 0)
    /// The number of bytes.
    package let count: Int

    /// Copies an ID; nil where it is longer than version 1 allows.
    package init?(_ bytes: UnsafeRawBufferPointer) {
        guard bytes.count <= Self.maximumLength else { return nil }
        count = bytes.count
        withUnsafeMutableBytes(of: &words) { $0.copyMemory(from: bytes) }
    }

    /// Copies an ID out of ngtcp2's form.
    init(_ identifier: ngtcp2_cid) {
        count = min(identifier.datalen, Self.maximumLength)
        Swift.withUnsafeBytes(of: identifier.data) { source in
            Swift.withUnsafeMutableBytes(of: &words) {
                $0.copyMemory(from: UnsafeRawBufferPointer(rebasing: source[0..<count]))
            }
        }
    }

    /// The ID as ngtcp2 wants it.
    var cValue: ngtcp2_cid {
        var identifier = ngtcp2_cid()
        identifier.datalen = count
        withUnsafeBytes { source in
            Swift.withUnsafeMutableBytes(of: &identifier.data) { $0.copyMemory(from: source) }
        }
        return identifier
    }

    /// Calls `body` with the bytes; the pointer is valid for the call.
    package func withUnsafeBytes<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        Swift.withUnsafeBytes(of: words) { body(UnsafeRawBufferPointer(rebasing: $0[0..<count])) }
    }

    package static func == (left: ConnectionID, right: ConnectionID) -> Bool {
        left.count == right.count && left.words == right.words
    }

    package func hash(into hasher: inout Hasher) {
        hasher.combine(words.0)
        hasher.combine(words.1)
        hasher.combine(UInt64(words.2) << 32 | UInt64(count))
    }
}
