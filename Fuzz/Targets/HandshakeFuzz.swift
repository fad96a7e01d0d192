import ApusGateway
import ApusHTTP

/// The fields of an opening request.
///
/// The input: a byte for the version and the options; then lines, each a field: its first byte says which, and what
/// follows up to the line's end is the value.
enum HandshakeFuzz {
    private static let names = [
        "sec-websocket-extensions", "sec-websocket-protocol", "sec-websocket-key", "sec-websocket-version", "origin",
    ]

    static func run(_ bytes: [UInt8]) throws(FuzzFinding) {
        var script = FuzzScript(bytes)
        let flags = script.byte()
        var options = WebSocketOptions()
        options.maxCompressionMemory = Int(flags >> 4) * 8192
        options.perMessageDeflate = flags & 8 == 0
        if flags & 4 != 0 { options.allowedOrigins = ["https://example.org"] }
        let version = [HTTPVersion.http11, .http2, .http3, .http11][Int(flags & 3)]
        let request = head(headers(script.rest(), complete: flags & 3 == 3), version)
        let handshake: WebSocketHandshake
        do throws(WebSocketRefusal) {
            handshake = try WebSocketHandshake(request, options: options)
        } catch {
            try promise([400, 403, 426].contains(error.status), "a refusal is a client's error")
            return
        }
        try check(handshake, request, options)
    }

    private static func head(_ headers: Headers, _ version: HTTPVersion) -> RequestHead {
        RequestHead(
            version: version,
            method: version == .http11 ? "GET" : "CONNECT",
            scheme: "https",
            target: "/",
            headers: headers,
            contentLength: nil,
            hasBody: version != .http11,
            expectsContinue: false,
            acceptsTrailers: false,
            isWebSocket: true
        )
    }

    /// - Parameter complete: Adds what any good opening has, so that the script can be about the lists alone.
    private static func headers(_ lines: [UInt8], complete: Bool) -> Headers {
        var headers = Headers()
        if complete {
            headers.append("sec-websocket-version", "13")
            headers.append("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
            headers.append("origin", "https://example.org")
        }
        for line in lines.split(separator: UInt8(ascii: "\n")) {
            guard let first = line.first else { continue }
            let name = names[Int(first) % names.count]
            // Engines let no other values through.
            headers.append(name, Bytes(line.dropFirst().filter { FieldRules.isValueCharacter($0) }))
        }
        return headers
    }

    private static func check(
        _ handshake: WebSocketHandshake,
        _ request: RequestHead,
        _ options: WebSocketOptions
    ) throws(FuzzFinding) {
        for subprotocol in handshake.subprotocols {
            let isToken = Array(subprotocol.utf8).withUnsafeBytes { FieldRules.isToken($0) }
            try promise(isToken, "subprotocols are tokens")
        }
        let answer = handshake.acceptance(subprotocol: handshake.subprotocols.first, headers: [:], defaults: [:])
        try promise(answer.opensTunnel, "an acceptance opens a tunnel")
        try promise(answer.status == (request.version == .http11 ? 101 : 200), "an acceptance has its status")
        try promise(
            answer.headers.contains("sec-websocket-accept") == (request.version == .http11),
            "a key is answered"
        )
        var areValid = true
        answer.headers.forEachField { name, value in
            areValid = areValid && FieldRules.isToken(name) && FieldRules.isValue(value)
        }
        try promise(areValid, "the answer's fields are valid")
        try promise(options.perMessageDeflate || handshake.deflate == nil, "what is off is not agreed on")
        if let deflate = handshake.deflate { try check(deflate, request) }
    }

    /// The response is an extension list, and what it says answers one of the offers (RFC 7692 §7.1).
    private static func check(_ deflate: PerMessageDeflate, _ request: RequestHead) throws(FuzzFinding) {
        guard let response = list(deflate.response)?.first else { throw FuzzFinding("the response is no list") }
        let offers = request.headers[all: "sec-websocket-extensions"].flatMap { list($0) ?? [] }
        let isAnswer = offers.contains { offer in
            offer.name == response.name && offer.parameters.allSatisfy { answers(response, $0) }
        }
        try promise(isAnswer, "the response answers an offer")
        try promise((9...12).contains(deflate.serverMaxWindowBits), "our window is one that zlib has")
        try promise((8...15).contains(deflate.clientMaxWindowBits), "the client's window is one that RFC 7692 has")
    }

    private static func answers(_ response: ExtensionOffer, _ asked: ExtensionOffer.Parameter) -> Bool {
        let answer = response.parameters.first { $0.name == asked.name }
        guard let answer else { return false }
        guard let askedValue = asked.value else { return true }
        guard let bits = answer.value.flatMap({ Int($0) }), let most = Int(askedValue) else { return false }
        return bits <= most
    }

    private static func list(_ text: String) -> [ExtensionOffer]? {
        Array(text.utf8).withUnsafeBytes { ExtensionOffer.list($0) }
    }
}
