import ApusGateway
import ApusHTTP

/// Header or trailer fields while they come in, counted before they are stored.
struct FieldSection {
    /// How many times the limit a block is decoded for.
    private static let hopelessFactor = 8

    /// The fields stored so far; emptied once there are too many.
    var headers = Headers()
    /// Whether the peer sent more than the limits allow; nothing is stored from then on.
    private(set) var isExcessive = false
    /// The fields so far.
    private var count = 0
    /// Names and values so far, 32 on top for each field (RFC 9113 §6.5.2).
    private var size = 0

    init(reservingFields fields: Int = 0, bytes: Int = 0) {
        if fields > 0 { headers = Headers(reservingFields: fields, bytes: bytes) }
    }

    /// Counts the size of a field; false where the section has become too large.
    ///
    /// One byte of a compressed block can stand for kilobytes: what is too much is dropped here and not gathered.
    mutating func admit(_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, within limits: Limits) -> Bool
    {
        // The library takes no name or value over 64 KiB, and few of them behind ``isHopeless``: no overflow.
        size += name.count + value.count + 32
        if !isExcessive, size > limits.maxFieldSectionSize { overflow() }
        return !isExcessive
    }

    /// Whether the peer sent so much that it is not worth an answer; one that is a little over has earned its 431.
    func isHopeless(within limits: Limits) -> Bool {
        size / Self.hopelessFactor > limits.maxFieldSectionSize
    }

    /// Stores a field that has been admitted, unless it is one too many.
    mutating func append(_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, within limits: Limits) {
        count += 1
        guard count <= limits.maxFieldCount else {
            overflow()
            return
        }
        headers.append(name: name, value: value)
    }

    private mutating func overflow() {
        isExcessive = true
        headers = Headers()
    }
}
