import ApusGateway
import ApusHTTP
import CNghttp3

/// How a request head grows, field by field. nghttp3 has checked names, values and pseudo-fields (RFC 9114 §4.3).
extension HTTP3Stream {
    /// Takes a field of the head.
    mutating func receive(
        _ token: Int32,
        _ name: UnsafeRawBufferPointer,
        _ value: UnsafeRawBufferPointer,
        _ limits: Limits
    ) {
        guard refusal == 0 else { return }
        switch token {
        case tokenNumber(NGHTTP3_QPACK_TOKEN__METHOD):
            method = String(decoding: value, as: UTF8.self)
        case tokenNumber(NGHTTP3_QPACK_TOKEN__PATH):
            receiveTarget(value, limits)
        case tokenNumber(NGHTTP3_QPACK_TOKEN__SCHEME):
            break  // The connection's own scheme counts.
        case tokenNumber(NGHTTP3_QPACK_TOKEN__PROTOCOL):
            // RFC 9110 §7.8: names of protocols are compared without regard to case. nghttp3 has seen to it that the
            // method is CONNECT, and that scheme, path and authority are there (RFC 8441 §4).
            isWebSocket = FieldRules.equals(value, "websocket")
        case tokenNumber(NGHTTP3_QPACK_TOKEN__AUTHORITY):
            guard value.count > 0 else { return }
            hasAuthority = true
            receiveHost(value, limits)
        default:
            receiveField(token, name, value, limits)
        }
    }

    private mutating func receiveTarget(_ value: UnsafeRawBufferPointer, _ limits: Limits) {
        guard value.count <= limits.maxRequestLineSize else {
            refusal = 414
            return
        }
        target = Bytes(copying: value)
    }

    private mutating func receiveField(
        _ token: Int32,
        _ name: UnsafeRawBufferPointer,
        _ value: UnsafeRawBufferPointer,
        _ limits: Limits
    ) {
        switch token {
        case tokenNumber(NGHTTP3_QPACK_TOKEN_HOST):
            receiveHostField(value, limits)
            return
        case tokenNumber(NGHTTP3_QPACK_TOKEN_CONTENT_LENGTH):
            contentLength = FieldRules.decimal(value)
        case tokenNumber(NGHTTP3_QPACK_TOKEN_TE):
            acceptsTrailers = FieldRules.equals(value, "trailers")
        default:
            if name.count == 6, FieldRules.equals(name, "expect") {
                expectsContinue = FieldRules.equals(value, "100-continue")
            }
        }
        guard count(name.count + value.count, limits) else {
            refusal = 431
            return
        }
        headers.append(name: name, value: value)
    }

    /// RFC 9114 §4.3.1: where both are present, `host` must have the same value as `:authority`.
    private mutating func receiveHostField(_ value: UnsafeRawBufferPointer, _ limits: Limits) {
        guard hasAuthority else {
            receiveHost(value, limits)
            return
        }
        let authority = headers.bytes(of: "host") ?? Bytes()
        isMalformed = isMalformed || !asciiCaseInsensitiveEqual(authority.memory, value)
    }

    /// Puts the host in front of all fields.
    private mutating func receiveHost(_ value: UnsafeRawBufferPointer, _ limits: Limits) {
        guard count(4 + value.count, limits) else {
            refusal = 431
            return
        }
        let others = headers
        headers = Headers(reservingFields: max(others.count + 1, 12), bytes: max(others.byteCount + 128, 384))
        let name: StaticString = "host"
        headers.append(name: UnsafeRawBufferPointer(start: name.utf8Start, count: 4), value: value)
        if !others.isEmpty { headers.append(contentsOf: others) }
    }

    /// Counts a field against the limits of its section; false past them.
    private mutating func count(_ size: Int, _ limits: Limits) -> Bool {
        sectionFields += 1
        sectionSize += size + 32
        return sectionFields <= limits.maxFieldCount && sectionSize <= limits.maxFieldSectionSize
    }

    /// Begins the trailer section.
    mutating func beginTrailers() {
        trailers = Headers()
        sectionFields = 0
        sectionSize = 0
    }

    /// Takes a trailer; false for the first one past the limits.
    mutating func receiveTrailer(
        _ name: UnsafeRawBufferPointer,
        _ value: UnsafeRawBufferPointer,
        _ limits: Limits
    ) -> Bool {
        guard !trailersAreTooLarge else { return true }
        guard count(name.count + value.count, limits) else {
            trailersAreTooLarge = true
            trailers = nil
            return false
        }
        trailers?.append(name: name, value: value)
        return true
    }

    /// The head as applications see it; gives up the stream's own copy of the fields.
    mutating func takeHead(hasBody: Bool) -> RequestHead {
        let head = RequestHead(
            version: .http3,
            method: method,
            scheme: "https",
            target: target,
            headers: headers,
            contentLength: contentLength,
            hasBody: hasBody || isWebSocket,
            expectsContinue: expectsContinue,
            acceptsTrailers: acceptsTrailers,
            isWebSocket: isWebSocket
        )
        headers = Headers()
        target = Bytes()
        return head
    }

    /// Whether the request asks for a tunnel that this server does not offer: by plain CONNECT (RFC 9114 §4.4), or for
    /// another protocol than WebSocket (RFC 9220 §3).
    var isConnect: Bool { method == "CONNECT" && !isWebSocket }
}

/// The number that `recv_header` gives for a known field name.
private func tokenNumber(_ token: nghttp3_qpack_token) -> Int32 {
    Int32(bitPattern: token.rawValue)
}
