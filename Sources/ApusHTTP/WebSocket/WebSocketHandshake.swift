import ApusGateway

/// The opening of a WebSocket, read from its request: by Upgrade (RFC 6455 §4.2) on HTTP/1.1, by extended CONNECT
/// (RFC 8441 §5, RFC 9220) on HTTP/2 and HTTP/3.
///
/// That the request asks for a WebSocket at all (`RequestHead.isWebSocket`) is the protocol engine's finding; here are the
/// fields that are the WebSocket's own. A value made once: it decides what is agreed on, and words the answer.
package struct WebSocketHandshake {
    /// The subprotocols that the client offers, in its order of preference; the application chooses one or none.
    package let subprotocols: [String]
    /// What both sides do about compression; nil for none.
    package let deflate: PerMessageDeflate?
    /// The answer to the key; nil on HTTP/2 and HTTP/3, which have neither (RFC 8441 §5).
    private let accept: String?

    /// Checks the request.
    ///
    /// - Throws: The refusal that the client is to get in place of a WebSocket.
    package init(_ head: RequestHead, options: WebSocketOptions) throws(WebSocketRefusal) {
        let headers = head.headers
        // RFC 6455 §4.4: a version we do not speak is answered with the one that we do.
        guard headers[all: "sec-websocket-version"] == ["13"] else {
            throw WebSocketRefusal(426, "not version 13 of WebSocket", headers: ["sec-websocket-version": "13"])
        }
        accept = head.version == .http11 ? try Self.accept(headers) : nil
        subprotocols = try Self.subprotocols(headers)
        let offers = try Self.extensionOffers(headers)
        deflate = options.perMessageDeflate ? PerMessageDeflate.negotiate(offers, options: options) : nil
        try Self.checkOrigin(headers, options)
    }

    /// The response that accepts, with 101 on HTTP/1.1 and 200 elsewhere; the hop-by-hop fields of an upgrade are the
    /// engine's.
    ///
    /// - Parameters:
    ///   - subprotocol: The application's choice, one of ``subprotocols``: the caller has seen to that.
    ///   - headers: The application's fields, checked like those of any response. Those that speak of the WebSocket
    ///     itself are left out, as are those of a body, which a tunnel has not (RFC 9110 §9.3.6, §8.6).
    ///   - defaults: The server's own fields.
    package func acceptance(subprotocol: String?, headers: Headers, defaults: Headers) -> ResponseHead {
        var answer = Headers()
        if let accept { answer.append("sec-websocket-accept", accept) }
        if let subprotocol { answer.append("sec-websocket-protocol", subprotocol) }
        if let deflate { answer.append("sec-websocket-extensions", deflate.response) }
        answer.append(contentsOf: headers.filtered { name, _ in !Self.isOurs(name) })
        return ResponseHead(
            status: accept == nil ? 200 : 101,
            headers: answer,
            defaults: defaults,
            opensTunnel: true
        )
    }

    /// Whether an application has no say about a field of the acceptance.
    private static func isOurs(_ name: UnsafeRawBufferPointer) -> Bool {
        let prefix = UnsafeRawBufferPointer(rebasing: name.prefix(14))
        return FieldRules.equals(prefix, "sec-websocket-") || FieldRules.equals(name, "content-length")
            || FieldRules.equals(name, "transfer-encoding")
    }
}

// MARK: - The request's fields

extension WebSocketHandshake {
    /// What follows the key before it is hashed (RFC 6455 §1.3).
    private static let suffix = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

    /// RFC 6455 §4.2.1, 5: one key, which is 16 bytes in base64; §4.2.2, 5.4: the answer to it.
    private static func accept(_ headers: Headers) throws(WebSocketRefusal) -> String {
        let keys = headers[all: "sec-websocket-key"]
        guard keys.count == 1, let key = keys.first,
            Array(key.utf8).withUnsafeBytes({ Base64.decodedCount($0) }) == 16
        else {
            throw WebSocketRefusal(400, "not one sec-websocket-key of 16 bytes in base64")
        }
        return Base64.encode(SHA1.hash(Array((key + suffix).utf8)))
    }

    /// RFC 6455 §11.3.4: tokens, in one field or several.
    private static func subprotocols(_ headers: Headers) throws(WebSocketRefusal) -> [String] {
        var subprotocols: [String] = []
        var isValid = true
        forEachValue(of: "sec-websocket-protocol", in: headers) { value in
            FieldRules.forEachListMember(value) { member in
                isValid = isValid && FieldRules.isToken(member)
                subprotocols.append(String(decoding: member, as: UTF8.self))
            }
        }
        guard isValid else { throw WebSocketRefusal(400, "a subprotocol that is no token") }
        return subprotocols
    }

    /// RFC 6455 §9.1: a field that does not conform fails the opening; several fields are one list.
    private static func extensionOffers(_ headers: Headers) throws(WebSocketRefusal) -> [ExtensionOffer] {
        var offers: [ExtensionOffer]? = []
        forEachValue(of: "sec-websocket-extensions", in: headers) { value in
            guard let more = ExtensionOffer.list(value) else {
                offers = nil
                return
            }
            offers?.append(contentsOf: more)
        }
        guard let offers else { throw WebSocketRefusal(400, "a malformed list of extensions") }
        return offers
    }

    /// RFC 6455 §4.2.2, 4: an origin that is not welcome gets a 403. Origins are compared but for ASCII case, which scheme
    /// and host do not have and a port cannot have.
    private static func checkOrigin(_ headers: Headers, _ options: WebSocketOptions) throws(WebSocketRefusal) {
        guard let allowed = options.allowedOrigins else { return }
        let origins = headers[all: "origin"]
        guard origins.count == 1, let origin = origins.first, allowed.contains(where: { isSame($0, origin) }) else {
            throw WebSocketRefusal(403, "the origin is not one of those allowed")
        }
    }

    private static func isSame(_ left: String, _ right: String) -> Bool {
        Array(left.utf8)
            .withUnsafeBytes { left in
                Array(right.utf8).withUnsafeBytes { asciiCaseInsensitiveEqual(left, $0) }
            }
    }

    private static func forEachValue(
        of wanted: StaticString,
        in headers: Headers,
        _ body: (UnsafeRawBufferPointer) -> Void
    ) {
        headers.forEachField { name, value in
            if FieldRules.equals(name, wanted) { body(value) }
        }
    }
}
