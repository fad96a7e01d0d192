import ApusGateway

/// The four forms of a request target (RFC 9112 §3.2), brought to path and query.
struct RequestTarget {
    /// Path and query, or `*`.
    let bytes: Bytes
    /// The authority of an absolute-form target, valid as long as the input is.
    let authority: UnsafeRawBufferPointer?

    init(_ line: RequestLine) throws(RequestRefusal) {
        let target = line.target
        if line.hasMethod("CONNECT") { throw RequestRefusal(501, "CONNECT is not served") }
        if target.first == UInt8(ascii: "/") {
            bytes = Bytes(copying: target)
            authority = nil
        } else if target.count == 1, target.first == UInt8(ascii: "*") {
            guard line.hasMethod("OPTIONS") else { throw .malformed("a target of * without OPTIONS") }
            bytes = Bytes(copying: target)
            authority = nil
        } else {
            (authority, bytes) = try Self.absolute(target, isOptions: line.hasMethod("OPTIONS"))
        }
    }

    /// Takes `http://authority/path?query` apart.
    private static func absolute(
        _ target: UnsafeRawBufferPointer,
        isOptions: Bool
    ) throws(RequestRefusal) -> (UnsafeRawBufferPointer, Bytes) {
        guard let start = endOfScheme(target) else { throw .malformed("a request target in no known form") }
        let rest = UnsafeRawBufferPointer(rebasing: target[start...])
        let end = rest.firstIndex { $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: "?") } ?? rest.count
        let authority = UnsafeRawBufferPointer(rebasing: rest[..<end])
        guard Authority.isValid(authority) else { throw .malformed("an authority that is not valid") }
        let path = UnsafeRawBufferPointer(rebasing: rest[end...])
        if path.first == UInt8(ascii: "/") { return (authority, Bytes(copying: path)) }
        // RFC 9112 §3.2.4: without path and query, OPTIONS is about the server as a whole.
        if path.count == 0 { return (authority, isOptions ? "*" : "/") }
        return (authority, Bytes([UInt8(ascii: "/")] + path))
    }

    private static func endOfScheme(_ target: UnsafeRawBufferPointer) -> Int? {
        if target.count > 7, FieldRules.equals(UnsafeRawBufferPointer(rebasing: target[..<7]), "http://") { return 7 }
        if target.count > 8, FieldRules.equals(UnsafeRawBufferPointer(rebasing: target[..<8]), "https://") { return 8 }
        return nil
    }
}
