import ApusGateway

/// What a request's fields say about its framing and its connection.
struct FieldFacts {
    /// The index of the Host field.
    private(set) var host: Int?
    private(set) var contentLength: Int?
    private(set) var saysClose = false
    private(set) var saysKeepAlive = false
    private(set) var expectsContinue = false
    private(set) var acceptsTrailers = false
    /// Whether `upgrade` has `websocket`; it asks for one only where `connection` names it too (RFC 9110 §7.8).
    private(set) var offersWebSocket = false
    private var codings = TransferCodings()
    private let version: HTTPVersion

    init(_ section: FieldSection, version: HTTPVersion) throws(RequestRefusal) {
        self.version = version
        for index in 0..<section.count {
            try note(section.name(index), section.value(index), index)
        }
    }

    private mutating func note(
        _ name: UnsafeRawBufferPointer,
        _ value: UnsafeRawBufferPointer,
        _ index: Int
    ) throws(RequestRefusal) {
        switch name.count {
        case 2 where FieldRules.equals(name, "te"):
            acceptsTrailers = acceptsTrailers || FieldRules.list(value, contains: "trailers")
        case 4 where FieldRules.equals(name, "host"):
            try noteHost(value, index)
        case 6 where FieldRules.equals(name, "expect"):
            expectsContinue = expectsContinue || FieldRules.list(value, contains: "100-continue")
        case 7 where FieldRules.equals(name, "upgrade"):
            offersWebSocket = offersWebSocket || FieldRules.list(value, contains: "websocket")
        case 10 where FieldRules.equals(name, "connection"):
            saysClose = saysClose || FieldRules.list(value, contains: "close")
            saysKeepAlive = saysKeepAlive || FieldRules.list(value, contains: "keep-alive")
        case 14 where FieldRules.equals(name, "content-length"):
            try noteContentLength(value)
        case 17 where FieldRules.equals(name, "transfer-encoding"):
            codings.note(value)
        case 14 where FieldRules.equals(name, "content_length"),
            17 where FieldRules.equals(name, "transfer_encoding"):
            // Gateways that turn `-` into `_` would take it for the real one.
            throw .malformed("an underscore in the name of a framing field")
        default: break
        }
    }

    private mutating func noteHost(_ value: UnsafeRawBufferPointer, _ index: Int) throws(RequestRefusal) {
        // RFC 9112 §3.2: more than one, or one that is not valid, is answered with 400.
        guard host == nil else { throw .malformed("more than one Host field") }
        guard value.count == 0 || Authority.isValid(value) else { throw .malformed("a Host field that is not valid") }
        host = index
    }

    private mutating func noteContentLength(_ value: UnsafeRawBufferPointer) throws(RequestRefusal) {
        // RFC 9112 §6.3 allows equal values in a list; no honest client sends them.
        guard contentLength == nil else { throw .malformed("more than one Content-Length field") }
        guard let length = FieldRules.decimal(value) else { throw .malformed("a Content-Length that is not a number") }
        contentLength = length
    }

    /// How the body ends (RFC 9112 §6.3).
    func framing() throws(RequestRefusal) -> RequestFraming {
        guard codings.isPresent else {
            guard let contentLength, contentLength > 0 else { return .none }
            return .length(contentLength)
        }
        guard version == .http11 else { throw .malformed("a Transfer-Encoding in HTTP/1.0") }
        guard contentLength == nil else { throw .malformed("both Content-Length and Transfer-Encoding") }
        guard codings.isChunkedLast else { throw .malformed("a Transfer-Encoding that does not end in chunked") }
        guard !codings.hasOthers else { throw RequestRefusal(501, "only the chunked transfer coding is known") }
        return .chunked
    }
}

/// The codings of all `transfer-encoding` fields, in order.
private struct TransferCodings {
    private(set) var isPresent = false
    /// Whether the last coding is `chunked`, and the only one of that name.
    private(set) var isChunkedLast = false
    /// Whether there are codings but `chunked`.
    private(set) var hasOthers = false
    private var isBroken = false

    mutating func note(_ value: UnsafeRawBufferPointer) {
        isPresent = true
        // Empty members are kept: they make the list one that parsers disagree about.
        for part in value.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false) {
            noteCoding(FieldRules.trimmed(UnsafeRawBufferPointer(rebasing: part)))
        }
    }

    private mutating func noteCoding(_ coding: UnsafeRawBufferPointer) {
        // RFC 9112 §6.1: chunked is applied once, and last.
        if isChunkedLast || coding.count == 0 { isBroken = true }
        let isChunked = FieldRules.equals(coding, "chunked")
        hasOthers = hasOthers || !isChunked
        isChunkedLast = isChunked && !isBroken
    }
}
