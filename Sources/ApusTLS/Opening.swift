/// The first bytes of a connection: enough to tell HTTP in clear from TLS and from garbage.
struct Opening {
    /// What the library reads, the header of a record, before it says that this is no TLS.
    private static let size = 5

    private var bytes: [5 of UInt8] = .init(repeating: 0)
    private var count = 0

    mutating func note(_ input: UnsafeRawBufferPointer) {
        for byte in input.prefix(Self.size - count) {
            bytes[count] = byte
            count += 1
        }
    }

    /// Whether this starts a request line (or HTTP/2's preface): a method of three letters or more, then a space.
    var isHTTP: Bool {
        guard count == Self.size else { return false }
        for index in 0..<Self.size {
            let isLetter = bytes[index] >= UInt8(ascii: "A") && bytes[index] <= UInt8(ascii: "Z")
            if !isLetter { return index >= 3 && bytes[index] == UInt8(ascii: " ") }
        }
        return true
    }
}
