import ApusGateway

/// How a request's body ends (RFC 9112 §6).
enum RequestFraming: Hashable {
    case none
    case length(Int)
    case chunked
}

/// A request head, with what only the connection needs to know of it.
struct ParsedRequest {
    let head: RequestHead
    let framing: RequestFraming
    /// Whether the client keeps the connection open after the response (RFC 9112 §9.3).
    let keepsAlive: Bool
    /// The bytes of the head, its empty line included.
    let byteCount: Int
}

/// What a head may take: of ``Limits``, the part that its parsers need.
struct HeadLimits {
    let requestLineSize: Int
    let fieldSectionSize: Int
    let fieldCount: Int

    init(_ limits: Limits) {
        // However generous the limits are, offsets into a head fit 32 bits and the room for its fields fits memory.
        requestLineSize = min(max(limits.maxRequestLineSize, 0), 1 << 29)
        fieldSectionSize = min(max(limits.maxFieldSectionSize, 0), 1 << 29)
        fieldCount = min(max(limits.maxFieldCount, 0), 1 << 20)
    }
}

/// Reads a request head in one pass, straight from the bytes that came (RFC 9112 §2 to §7).
///
/// Strict on purpose: what two parsers could read in two ways is refused.
struct RequestHeadParser {
    let limits: HeadLimits
    /// Whether the connection is encrypted.
    let secure: Bool
    /// Whether WebSockets are served; an `upgrade` means nothing otherwise.
    let webSockets: Bool

    /// The request that the bytes begin with; nil where its head is not complete.
    func parse(_ bytes: UnsafeRawBufferPointer) throws(RequestRefusal) -> ParsedRequest? {
        guard let base = bytes.baseAddress,
            let line = try RequestLine(base: base, count: bytes.count, maxSize: limits.requestLineSize)
        else { return nil }
        return try FieldSection.read(base, from: line.end, to: bytes.count, limits) {
            section,
            end throws(RequestRefusal) in
            try request(line, section, byteCount: end)
        }
    }

    private func request(
        _ line: RequestLine,
        _ section: FieldSection,
        byteCount: Int
    ) throws(RequestRefusal) -> ParsedRequest {
        let target = try RequestTarget(line)
        let facts = try FieldFacts(section, version: line.version)
        if line.version == .http11, facts.host == nil { throw .malformed("no Host field") }  // RFC 9112 §3.2
        if let host = facts.host, section.value(host).count == 0, target.authority != nil {
            throw .malformed("an empty Host field")
        }
        let framing = try facts.framing()
        let head = RequestHead(
            version: line.version,
            method: line.method,
            scheme: secure ? "https" : "http",
            target: target.bytes,
            headers: headers(section, host: facts.host, authority: target.authority),
            contentLength: facts.contentLength,
            hasBody: framing != .none,
            expectsContinue: facts.expectsContinue && framing != .none && line.version == .http11,
            acceptsTrailers: facts.acceptsTrailers && line.version == .http11,
            isWebSocket: facts.offersWebSocket && opensWebSocket(line, section, framing)
        )
        let keepsAlive = !facts.saysClose && (line.version == .http11 || facts.saysKeepAlive)
        return ParsedRequest(head: head, framing: framing, keepsAlive: keepsAlive, byteCount: byteCount)
    }

    /// Whether a request that offers WebSocket asks for one (RFC 6455 §4.1); `upgrade` is ignored in any other.
    private func opensWebSocket(_ line: RequestLine, _ section: FieldSection, _ framing: RequestFraming) -> Bool {
        // RFC 9110 §7.8: an HTTP/1.0 request upgrades nothing. A body would have to be told from what follows it.
        guard webSockets, line.version == .http11, line.hasMethod("GET"), framing == .none else { return false }
        return (0..<section.count)
            .contains {
                FieldRules.equals(section.name($0), "connection")
                    && FieldRules.list(section.value($0), contains: "upgrade")
            }
    }

    /// The fields, Host first; the target's authority takes its place (RFC 9112 §3.2.2).
    private func headers(_ section: FieldSection, host: Int?, authority: UnsafeRawBufferPointer?) -> Headers {
        guard host == nil, let authority else { return section.headers(first: host, firstValue: authority) }
        // Only HTTP/1.0 may leave Host out.
        var headers = Headers(reservingFields: section.count + 1, bytes: section.byteCount + authority.count + 4)
        headers.append("host", Bytes(copying: authority))
        headers.append(contentsOf: section.headers())
        return headers
    }
}
