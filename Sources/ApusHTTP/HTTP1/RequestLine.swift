import ApusGateway

/// `method SP request-target SP HTTP-version CRLF` (RFC 9112 §3), with single spaces.
struct RequestLine {
    let base: UnsafeRawPointer
    let methodBytes: UnsafeRawBufferPointer
    let target: UnsafeRawBufferPointer
    let version: HTTPVersion
    /// The offset behind the line's CRLF.
    let end: Int

    /// Nil where the line is not complete.
    ///
    /// - Parameter base: The input; it outlives this value.
    init?(base: UnsafeRawPointer, count: Int, maxSize: Int) throws(RequestRefusal) {
        // Nothing behind the limit is looked at, so that the answer does not depend on how the bytes arrived.
        let isClipped = count >= maxSize + 2
        let limit = isClipped ? maxSize + 2 : count
        guard let methodEnd = try Self.endOfMethod(base, limit),
            let targetEnd = try Self.endOfTarget(base, from: methodEnd + 1, to: limit),
            let (version, end) = try Self.version(base, from: targetEnd + 1, to: limit)
        else {
            if isClipped { throw .lineTooLong }
            return nil
        }
        self.base = base
        self.version = version
        self.end = end
        methodBytes = UnsafeRawBufferPointer(start: base, count: methodEnd)
        target = UnsafeRawBufferPointer(start: base + methodEnd + 1, count: targetEnd - methodEnd - 1)
    }

    /// The offset of the space behind the method.
    private static func endOfMethod(_ base: UnsafeRawPointer, _ limit: Int) throws(RequestRefusal) -> Int? {
        var index = 0
        while index < limit, FieldRules.isTokenCharacter(base.load(fromByteOffset: index, as: UInt8.self)) {
            index += 1
        }
        guard index < limit else { return nil }
        guard index > 0, base.load(fromByteOffset: index, as: UInt8.self) == 0x20 else {
            throw .malformed("a method that is not a token")
        }
        return index
    }

    /// The offset of the space behind the target.
    private static func endOfTarget(
        _ base: UnsafeRawPointer,
        from start: Int,
        to limit: Int
    ) throws(RequestRefusal) -> Int? {
        let index = ByteScan.firstOutsideTarget(base, from: start, to: limit)
        guard index < limit else { return nil }
        switch base.load(fromByteOffset: index, as: UInt8.self) {
        case 0x20 where index > start: return index
        case 0x20: throw .malformed("more than one space in the request line")
        case UInt8(ascii: "\r"), UInt8(ascii: "\n"): throw .malformed("a request line without a version")
        case UInt8(ascii: "#"): throw .malformed("a fragment in the request target")
        default: throw .malformed("a control character in the request target")
        }
    }

    /// The version, and the offset behind the line.
    private static func version(
        _ base: UnsafeRawPointer,
        from start: Int,
        to limit: Int
    ) throws(RequestRefusal) -> (HTTPVersion, Int)? {
        let index = ByteScan.firstControl(base, from: start, to: limit)
        guard index < limit else { return nil }
        guard base.load(fromByteOffset: index, as: UInt8.self) == UInt8(ascii: "\r") else {
            throw .malformed("a control character in the request line")
        }
        guard index + 1 < limit else { return nil }
        guard base.load(fromByteOffset: index + 1, as: UInt8.self) == UInt8(ascii: "\n") else {
            throw .malformed("a CR without LF")
        }
        return (try version(named: UnsafeRawBufferPointer(start: base + start, count: index - start)), index + 2)
    }

    /// Reads `HTTP/` DIGIT `.` DIGIT (RFC 9112 §2.3).
    private static func version(named name: UnsafeRawBufferPointer) throws(RequestRefusal) -> HTTPVersion {
        let prefix: StaticString = "HTTP/"
        guard name.count == 8, let start = name.baseAddress,
            zip(name, UnsafeRawBufferPointer(start: prefix.utf8Start, count: 5)).allSatisfy({ $0 == $1 }),
            start.load(fromByteOffset: 6, as: UInt8.self) == UInt8(ascii: ".")
        else { throw .malformed("a request line without a valid version") }
        let major = start.load(fromByteOffset: 5, as: UInt8.self) &- UInt8(ascii: "0")
        let minor = start.load(fromByteOffset: 7, as: UInt8.self) &- UInt8(ascii: "0")
        guard major < 10, minor < 10 else { throw .malformed("a request line without a valid version") }
        guard major == 1 else { throw RequestRefusal(505, "only HTTP/1 is spoken in this form") }
        // RFC 9110 §2.5: a higher minor version is taken for the highest that we know.
        return minor == 0 ? .http10 : .http11
    }

    /// The method as text, without building a string for the usual ones.
    var method: String {
        switch methodBytes.count {
        case 3 where hasMethod("GET"): "GET"
        case 3 where hasMethod("PUT"): "PUT"
        case 4 where hasMethod("POST"): "POST"
        case 4 where hasMethod("HEAD"): "HEAD"
        default: String(decoding: methodBytes, as: UTF8.self)
        }
    }

    /// Whether the method is this one; methods are case-sensitive.
    func hasMethod(_ name: StaticString) -> Bool {
        methodBytes.elementsEqual(UnsafeRawBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount))
    }
}
