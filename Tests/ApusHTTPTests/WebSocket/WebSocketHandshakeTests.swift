import ApusGateway
import ApusHTTP
import Testing

struct WebSocketHandshakeTests {
    /// The key of RFC 6455 §1.3.
    private static let key = "dGhlIHNhbXBsZSBub25jZQ=="
    private static let opening: Headers = [
        "host": "server.example.com", "upgrade": "websocket", "connection": "Upgrade", "sec-websocket-key": key,
        "sec-websocket-version": "13",
    ]

    private func head(_ headers: Headers, _ version: HTTPVersion = .http11) -> RequestHead {
        RequestHead(
            version: version,
            method: version == .http11 ? "GET" : "CONNECT",
            scheme: "https",
            target: "/chat",
            headers: headers,
            contentLength: nil,
            hasBody: version != .http11,
            expectsContinue: false,
            acceptsTrailers: false,
            isWebSocket: true
        )
    }

    /// The example opening with other fields.
    private func opening(_ changes: (inout Headers) -> Void) -> RequestHead {
        var headers = Self.opening
        changes(&headers)
        return head(headers)
    }

    private func refusal(_ head: RequestHead, _ options: WebSocketOptions = WebSocketOptions()) -> WebSocketRefusal? {
        do {
            _ = try WebSocketHandshake(head, options: options)
            return nil
        } catch {
            return error
        }
    }

    // MARK: - Key and version

    @Test(arguments: [
        ("dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        ("x3JJHMbDL1EzLkh9GBhXDw==", "HSmrc0sMlYUkAGmm5OPpG2HaGWk="),
        ("AAAAAAAAAAAAAAAAAAAAAA==", "ICX+Yqv66kxgM0FcWaLWlFLwTAI="),
        ("/////////////////////w==", "XXpj4jYzLM2yUE0C7TIgMwTQh2g="),
    ])
    func `a key is answered as RFC 6455 prescribes`(_ key: String, _ accept: String) throws {
        let handshake = try WebSocketHandshake(
            opening { $0.set("sec-websocket-key", key) },
            options: WebSocketOptions()
        )
        let answer = handshake.acceptance(subprotocol: nil, headers: [:], defaults: [:])
        #expect(answer.status == 101)
        #expect(answer.opensTunnel)
        #expect(answer.headers == ["sec-websocket-accept": accept])
    }

    @Test(arguments: [
        "", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25jZQ=", "dGhlIHNhbXBsZSBub25jZQ===",
        "dGhlIHNhbXBsZSBub25jZQ= =", "dGhlIHNhbXBsZSBub25j", "dGhlIHNhbXBsZSBub25jZWE=", "dGhlIHNhbXBsZSBub25jZWFh",
        "dGhlIHNhbXBsZSBub25jZQ==dGhl", "dGhl-HNhbXBsZSBub25jZQ==", "dGhl=HNhbXBsZSBub25jZQ==",
        "====================", "dGhlIHNhbXBsZSBub25j====", "dGhlIHNhbXBsZSBub25jZä==",
    ])
    func `a key that is not base64 of 16 bytes is refused`(_ key: String) {
        #expect(refusal(opening { $0.set("sec-websocket-key", key) })?.status == 400)
    }

    @Test func `there is exactly one key on HTTP 1`() {
        #expect(refusal(opening { $0.remove("sec-websocket-key") })?.status == 400)
        #expect(refusal(opening { $0.append("sec-websocket-key", Self.key) })?.status == 400)
    }

    @Test(arguments: [[], ["8"], ["14"], ["013"], ["13", "13"], ["13, 8"], [""]])
    func `another version is told which one is spoken`(_ versions: [String]) {
        let refusal = refusal(
            opening {
                $0.remove("sec-websocket-version")
                for version in versions { $0.append("sec-websocket-version", version) }
            }
        )
        #expect(refusal?.status == 426)
        #expect(refusal?.headers == ["sec-websocket-version": "13"])
    }

    @Test(arguments: [HTTPVersion.http2, .http3])
    func `HTTP 2 and 3 have neither key nor answer to it`(_ version: HTTPVersion) throws {
        let request = head(["host": "a", "sec-websocket-version": "13", "sec-websocket-protocol": "chat"], version)
        let handshake = try WebSocketHandshake(request, options: WebSocketOptions())
        let answer = handshake.acceptance(subprotocol: "chat", headers: ["x-a": "1"], defaults: ["server": "apus"])
        #expect(answer.status == 200)
        #expect(answer.opensTunnel)
        #expect(answer.headers == ["sec-websocket-protocol": "chat", "x-a": "1"])
        #expect(answer.defaults == ["server": "apus"])
        #expect(answer.contentLength == nil)
        #expect(!answer.endsStream)
        #expect(refusal(head(["sec-websocket-version": "12"], version))?.status == 426)
    }

    // MARK: - Origin

    @Test func `an origin is welcome whatever the case of its scheme and host`() {
        var options = WebSocketOptions()
        options.allowedOrigins = ["https://example.org", "HTTPS://Other.example:8443"]
        for origin in ["https://example.org", "HTTPS://EXAMPLE.org", "https://other.example:8443"] {
            #expect(refusal(opening { $0.append("origin", origin) }, options) == nil, "\(origin)")
        }
        for origin in [
            "http://example.org", "https://example.org:444", "https://example.org.evil.test", "https://evil.test",
            "https://example.org/", "null", "", "https://example.or", "https://other.example",
        ] {
            #expect(refusal(opening { $0.append("origin", origin) }, options)?.status == 403, "\(origin)")
        }
    }

    @Test func `a missing or doubled origin is refused where a list is set and only there`() {
        var options = WebSocketOptions()
        #expect(refusal(opening { _ in }, options) == nil)
        #expect(refusal(opening { $0.append("origin", "https://anyone.test") }, options) == nil)
        options.allowedOrigins = []
        #expect(refusal(opening { $0.append("origin", "https://anyone.test") }, options)?.status == 403)
        options.allowedOrigins = ["https://example.org"]
        #expect(refusal(opening { _ in }, options)?.status == 403)
        let doubled = opening {
            $0.append("origin", "https://example.org")
            $0.append("origin", "https://example.org")
        }
        #expect(refusal(doubled, options)?.status == 403)
    }

    // MARK: - Subprotocols

    @Test func `subprotocols are read in order from all fields`() throws {
        let request = opening {
            $0.append("Sec-WebSocket-Protocol", "chat,  superchat\t")
            $0.append("sec-websocket-protocol", ", v2.x")
        }
        let handshake = try WebSocketHandshake(request, options: WebSocketOptions())
        #expect(handshake.subprotocols == ["chat", "superchat", "v2.x"])
        let answer = handshake.acceptance(subprotocol: "superchat", headers: [:], defaults: [:])
        #expect(answer.headers["sec-websocket-protocol"] == "superchat")
    }

    @Test(arguments: ["a b", "a/b", "chat, \"x\"", "ä", "a;b", "chat,(x)"])
    func `a subprotocol that is no token is refused`(_ value: String) {
        #expect(refusal(opening { $0.append("sec-websocket-protocol", value) })?.status == 400)
    }

    @Test func `no field and an empty one offer no subprotocol`() throws {
        for request in [opening { _ in }, opening { $0.append("sec-websocket-protocol", "") }] {
            #expect(try WebSocketHandshake(request, options: WebSocketOptions()).subprotocols.isEmpty)
        }
    }

    // MARK: - Extensions

    @Test(arguments: [
        ";", "a b", "a;", "a;;b", "a; b=", "a; b=\"", "a; b=\"x", "a; b=\"\"", "a; b=\"x y\"", "a; b=\"x\\", "a; =1",
        "=1", "a=1", "a; b=1 2", "a; b=\"1\"2", "\"a\"", "permessage-deflate; client_max_window_bits=\"1\\\\0\"",
        "permessage-deflate, ;",
    ])
    func `a malformed list of extensions is refused`(_ value: String) {
        #expect(refusal(opening { $0.append("sec-websocket-extensions", value) })?.status == 400)
    }

    @Test func `extensions are agreed on over several fields`() throws {
        let request = opening {
            $0.append("sec-websocket-extensions", "x-other; a=\"b\", , permessage-deflate; nonsense")
            $0.append("sec-websocket-extensions", "permessage-deflate; server_max_window_bits=\"1\\0\" ,")
        }
        let handshake = try WebSocketHandshake(request, options: WebSocketOptions())
        let answer = handshake.acceptance(subprotocol: nil, headers: [:], defaults: [:])
        #expect(handshake.deflate?.serverMaxWindowBits == 10)
        #expect(answer.headers["sec-websocket-extensions"] == "permessage-deflate; server_max_window_bits=10")
    }

    @Test func `permessage-deflate can be switched off`() throws {
        var options = WebSocketOptions()
        options.perMessageDeflate = false
        let request = opening { $0.append("sec-websocket-extensions", "permessage-deflate") }
        let handshake = try WebSocketHandshake(request, options: options)
        #expect(handshake.deflate == nil)
        #expect(
            !handshake.acceptance(subprotocol: nil, headers: [:], defaults: [:]).headers
                .contains("sec-websocket-extensions")
        )
        // The grammar still holds.
        #expect(refusal(opening { $0.append("sec-websocket-extensions", "a;") }, options)?.status == 400)
    }

    // MARK: - The answer

    @Test func `an application has no say about the fields of the handshake and of a body`() throws {
        let handshake = try WebSocketHandshake(opening { _ in }, options: WebSocketOptions())
        let answer = handshake.acceptance(
            subprotocol: nil,
            headers: [
                "Sec-WebSocket-Accept": "x", "sec-websocket-extensions": "x-y", "sec-websocket-protocol": "z",
                "content-length": "5", "Transfer-Encoding": "chunked", "set-cookie": "a=1", "sec-websocket": "kept",
            ],
            defaults: [:]
        )
        #expect(
            answer.headers == [
                "sec-websocket-accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "set-cookie": "a=1", "sec-websocket": "kept",
            ]
        )
    }
}
