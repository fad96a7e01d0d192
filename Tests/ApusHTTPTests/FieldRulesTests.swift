import ApusHTTP
import Testing

struct FieldRulesTests {
    private func with<Result>(_ text: String, _ rule: (UnsafeRawBufferPointer) -> Result) -> Result {
        Array(text.utf8).withUnsafeBytes { rule($0) }
    }

    @Test func `tokens are made of the characters that the RFC lists`() {
        let allowed = Set(
            "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz".utf8
        )
        for byte in UInt8.min...UInt8.max {
            #expect(FieldRules.isTokenCharacter(byte) == allowed.contains(byte), "\(byte)")
        }
        #expect(with("x-a", FieldRules.isToken))
        #expect(!with("", FieldRules.isToken))
        #expect(!with("x a", FieldRules.isToken))
    }

    @Test func `values have no control character but the tab`() {
        for byte in UInt8.min...UInt8.max {
            #expect(FieldRules.isValueCharacter(byte) == (byte == 9 || byte >= 32 && byte != 127), "\(byte)")
        }
        #expect(with("", FieldRules.isValue))
        #expect(with("a\tb ä", FieldRules.isValue))
        #expect(!with("a\r\nb", FieldRules.isValue))
    }

    @Test(arguments: [
        ("0", 0), ("007", 7), ("9223372036854775807", Int.max), ("9223372036854775808", nil),
        ("99999999999999999999", nil), ("", nil), ("+1", nil), ("-1", nil), ("1 ", nil), ("0x1", nil), ("1.0", nil),
    ])
    func `decimal numbers are digits that fit`(_ text: String, _ value: Int?) {
        #expect(with(text, FieldRules.decimal) == value)
    }

    @Test func `lists are searched for whole members`() {
        #expect(with("gzip, Trailers;q=1 ,x") { FieldRules.list($0, contains: "trailers") })
        #expect(with("close") { FieldRules.list($0, contains: "close") })
        #expect(with(",, close\t,") { FieldRules.list($0, contains: "close") })
        #expect(!with("closed, xclose, clo se") { FieldRules.list($0, contains: "close") })
        #expect(!with("") { FieldRules.list($0, contains: "close") })
        #expect(!with("a;close") { FieldRules.list($0, contains: "close") })
    }

    @Test func `white space is trimmed at both ends`() {
        #expect(with(" \t a b\t ") { String(decoding: FieldRules.trimmed($0), as: UTF8.self) } == "a b")
        #expect(with(" \t ") { FieldRules.trimmed($0).count } == 0)
    }

    @Test func `fields of one hop are known`() {
        for name in ["Connection", "keep-alive", "PROXY-CONNECTION", "transfer-encoding", "Upgrade"] {
            #expect(with(name, FieldRules.isConnectionSpecific))
        }
        for name in ["te", "connectioN2", "host", ""] {
            #expect(!with(name, FieldRules.isConnectionSpecific))
        }
    }

    @Test func `fields that make no sense behind the body are known`() {
        for name in [
            "Content-Length", "transfer-encoding", "host", "Authorization", "content-type", "set-cookie", "trailer",
            "te", "connection", "content-encoding", "content-range", "cache-control", "cookie", "max-forwards",
        ] {
            #expect(with(name, FieldRules.isForbiddenTrailer), "\(name)")
        }
        for name in ["grpc-status", "x-checksum", "etag", "server-timing", "digest"] {
            #expect(!with(name, FieldRules.isForbiddenTrailer), "\(name)")
        }
    }
}
