import ApusGateway
import ApusHTTP

/// Header or trailer fields while they come in, counted before they are stored.
struct FieldSection {
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
    /// The compressed block still has to be decoded to its end, or the compression state of the connection would be
    /// lost: one byte of it can stand for kilobytes, so what is too much is dropped here and not gathered.
    mutating func admit(_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, within limits: Limits) -> Bool
    {
        // The library takes no name or value over 64 KiB, and stops counting here: the sum cannot overflow.
        guard !isExcessive else { return false }
        size += name.count + value.count + 32
        if size > limits.maxFieldSectionSize { overflow() }
        return !isExcessive
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
