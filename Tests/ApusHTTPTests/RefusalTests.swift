import ApusGateway
import ApusHTTP
import Testing

/// A message that must not be served: what two parsers could take for two different things, or for one too large.
struct RefusalCase: Sendable, CustomTestStringConvertible {
    let name: String
    let message: String
    let status: String

    init(_ name: String, _ message: String, _ status: String = "400") {
        self.name = name
        self.message = message
        self.status = status
    }

    var testDescription: String { name }

    /// A GET whose field lines are these.
    static func fields(_ name: String, _ lines: String, _ status: String = "400") -> RefusalCase {
        RefusalCase(name, "GET / HTTP/1.1\r\n\(lines)\r\n\r\n", status)
    }

    /// A POST with a Host and these field lines, and with this behind its head.
    static func body(_ name: String, _ lines: String, _ body: String = "", _ status: String = "400") -> RefusalCase {
        RefusalCase(name, "POST / HTTP/1.1\r\nHost: a\r\n\(lines)\r\n\r\n\(body)", status)
    }

    /// A chunked POST with this body.
    static func chunks(_ name: String, _ chunks: String, _ status: String = "400") -> RefusalCase {
        body(name, "Transfer-Encoding: chunked", chunks, status)
    }
}

private let badHeads: [RefusalCase] = [
    // The request line.
    RefusalCase("bare LF after the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n"),
    RefusalCase("bare CR after the request line", "GET / HTTP/1.1\rHost: a\r\n\r\n"),
    RefusalCase("bare LF before the request line", "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    RefusalCase("two empty lines before the request line", "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    RefusalCase("space before the method", " GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    RefusalCase("no method", "/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    RefusalCase("method that is no token", "GE(T / HTTP/1.1\r\nHost: a\r\n\r\n"),
    RefusalCase("control character in the method", "G\u{1}T / HTTP/1.1\r\nHost: a\r\n\r\n"),
    RefusalCase("two spaces before the target", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n"),
    RefusalCase("two spaces behind the target", "GET /  HTTP/1.1\r\nHost: a\r\n\r\n"),
    RefusalCase("space within the target", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n"),
    RefusalCase("tab in place of a space", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    RefusalCase("tab in the target", "GET /a\tb HTTP/1.1\r\nHost: a\r\n\r\n"),
    RefusalCase("NUL in the target", "GET /a\0b HTTP/1.1\r\nHost: a\r\n\r\n"),
    RefusalCase("DEL in the target", "GET /a\u{7F}b HTTP/1.1\r\nHost: a\r\n\r\n"),
    RefusalCase("fragment in the target", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n"),
    RefusalCase("target without a slash", "GET index.html HTTP/1.1\r\nHost: a\r\n\r\n"),
    RefusalCase("target of * without OPTIONS", "GET * HTTP/1.1\r\nHost: a\r\n\r\n"),
    RefusalCase("absolute target of another scheme", "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    RefusalCase("absolute target without authority", "GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n"),
    RefusalCase("absolute target with user information", "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    RefusalCase("absolute target with an empty Host", "GET http://a/ HTTP/1.1\r\nHost:\r\n\r\n"),
    RefusalCase("space at the end of the request line", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n"),
    RefusalCase("no version", "GET /\r\nHost: a\r\n\r\n"),
    RefusalCase("no version, but a space", "GET / \r\nHost: a\r\n\r\n"),
    RefusalCase("lower-case version", "GET / http/1.1\r\nHost: a\r\n\r\n"),
    RefusalCase("version without minor", "GET / HTTP/1\r\nHost: a\r\n\r\n"),
    RefusalCase("version with two digits", "GET / HTTP/1.10\r\nHost: a\r\n\r\n"),
    RefusalCase("version with a comma", "GET / HTTP/1,1\r\nHost: a\r\n\r\n"),
    RefusalCase("version with a letter", "GET / HTTP/1.x\r\nHost: a\r\n\r\n"),
    RefusalCase("NUL behind the version", "GET / HTTP/1.1\0\r\nHost: a\r\n\r\n"),
    RefusalCase("HTTP/0.9 by name", "GET / HTTP/0.9\r\nHost: a\r\n\r\n", "505"),
    RefusalCase("HTTP/2.0 by name", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", "505"),
    RefusalCase("HTTP/3.0 by name", "GET / HTTP/3.0\r\nHost: a\r\n\r\n", "505"),
    RefusalCase("CONNECT", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", "501"),
    RefusalCase("a TLS ClientHello", "\u{16}\u{3}\u{1}\0\0\0"),
    // Field lines.
    .fields("bare LF behind a field", "Host: a\nX: b"),
    .fields("bare CR behind a field", "Host: a\rX: b"),
    .fields("bare LF for the empty line", "Host: a\r\n\nX: b"),
    .fields("bare CR for the empty line", "Host: a\r\n\rX: b"),
    .fields("CR CR LF", "Host: a\r\r\nX: b"),
    .fields("space before the colon", "Host : a"),
    .fields("tab before the colon", "Host\t: a"),
    .fields("space before the colon of the framing", "Host: a\r\nContent-Length : 5"),
    .fields("space before a name", "Host: a\r\n X: b"),
    .fields("space before the first name", " Host: a\r\nX: b"),
    .fields("obs-fold", "Host: a\r\nX: b\r\n c"),
    .fields("obs-fold with a tab", "Host: a\r\nTransfer-Encoding:\r\n\tchunked"),
    .fields("field without a colon", "Host: a\r\nX"),
    .fields("field without a name", "Host: a\r\n: b"),
    .fields("NUL in a name", "Host: a\r\nX\0Y: b"),
    .fields("non-ASCII name", "Host: a\r\nÄ: b"),
    .fields("slash in a name", "Host: a\r\nX/Y: b"),
    .fields("space in a name", "Host: a\r\nX Y: b"),
    .fields("NUL in a value", "Host: a\r\nX: b\0c"),
    .fields("control character in a value", "Host: a\r\nX: b\u{1}c"),
    .fields("escape in a value", "Host: a\r\nX: \u{1B}[2J"),
    .fields("DEL in a value", "Host: a\r\nX: b\u{7F}c"),
    .fields("control character far into a value", "Host: a\r\nX: 0123456789abcdef\u{2}0123456789"),
    // Host.
    .fields("no Host", "X: b"),
    RefusalCase("no field at all", "GET / HTTP/1.1\r\n\r\n"),
    .fields("two Hosts", "Host: a\r\nHost: b"),
    .fields("two equal Hosts", "Host: a\r\nhost: a"),
    RefusalCase("two Hosts in HTTP/1.0", "GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n"),
    .fields("Host with user information", "Host: u@a"),
    .fields("Host with a path", "Host: a/b"),
    .fields("Host with a space", "Host: a b"),
    .fields("Host with a list", "Host: a, b"),
    .fields("Host with a bad port", "Host: a:b"),
    .fields("Host with a port that is too large", "Host: a:65536"),
    .fields("Host with two ports", "Host: a:1:2"),
    .fields("Host of a port only", "Host: :80"),
    .fields("Host with an open bracket", "Host: [::1"),
    .fields("Host with something behind the bracket", "Host: [::1]x"),
    .fields("Host with empty brackets", "Host: []"),
    .fields("Host with a broken percent-encoding", "Host: a%2"),
    .fields("Host that is not ASCII", "Host: ä"),
    // Framing.
    .body("both framings", "Content-Length: 5\r\nTransfer-Encoding: chunked", "0\r\n\r\n"),
    .body("both framings, the other way round", "Transfer-Encoding: chunked\r\nContent-Length: 5", "0\r\n\r\n"),
    .body("both framings with a length of 0", "Content-Length: 0\r\nTransfer-Encoding: chunked", "0\r\n\r\n"),
    .body("differing lengths", "Content-Length: 5\r\nContent-Length: 6", "hello!"),
    .body("equal lengths", "Content-Length: 5\r\nContent-Length: 5", "hello"),
    .body("list of lengths", "Content-Length: 5, 5", "hello"),
    .body("empty length", "Content-Length:", "hello"),
    .body("negative length", "Content-Length: -5", "hello"),
    .body("length with a plus", "Content-Length: +5", "hello"),
    .body("hexadecimal length", "Content-Length: 0x5", "hello"),
    .body("length with a fraction", "Content-Length: 5.0", "hello"),
    .body("length with an underscore", "Content-Length: 1_0", "hello"),
    .body("length with a space within", "Content-Length: 1 0", "hello"),
    .body("length that does not fit", "Content-Length: 9223372036854775808", "hello"),
    .body("length that is far too long", "Content-Length: 99999999999999999999999999", "hello"),
    .body("length with an underscore in its name", "Content_Length: 5", "hello"),
    .body("coding with an underscore in its name", "Transfer_Encoding: chunked", "0\r\n\r\n"),
    .body("coding that is not chunked", "Transfer-Encoding: gzip", "x"),
    .body("coding identity", "Transfer-Encoding: identity", "x"),
    .body("coding that begins like chunked", "Transfer-Encoding: chunkedx", "0\r\n\r\n"),
    .body("coding that ends like chunked", "Transfer-Encoding: xchunked", "0\r\n\r\n"),
    .body("chunked not last", "Transfer-Encoding: chunked, gzip", "0\r\n\r\n"),
    .body("chunked twice", "Transfer-Encoding: chunked, chunked", "0\r\n\r\n"),
    .body("chunked in two fields", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "0\r\n\r\n"),
    .body("chunked, then another field", "Transfer-Encoding: chunked\r\nTransfer-Encoding: x", "0\r\n\r\n"),
    .body("chunked with a parameter", "Transfer-Encoding: chunked;q=1", "0\r\n\r\n"),
    .body("chunked in quotes", "Transfer-Encoding: \"chunked\"", "0\r\n\r\n"),
    .body("empty coding", "Transfer-Encoding:", "0\r\n\r\n"),
    .body("empty member before chunked", "Transfer-Encoding: , chunked", "0\r\n\r\n"),
    .body("empty member behind chunked", "Transfer-Encoding: chunked,", "0\r\n\r\n"),
    .body("coding before chunked", "Transfer-Encoding: gzip, chunked", "0\r\n\r\n", "501"),
    .body("coding in a field before", "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked", "0\r\n\r\n", "501"),
    RefusalCase("coding in HTTP/1.0", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    RefusalCase("unknown coding in HTTP/1.0", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: x\r\n\r\n"),
]

private let badBodies: [RefusalCase] = [
    .chunks("no size", "\r\nhello\r\n0\r\n\r\n"),
    .chunks("size that is not hexadecimal", "g\r\nhello\r\n0\r\n\r\n"),
    .chunks("size with 0x", "0x5\r\nhello\r\n0\r\n\r\n"),
    .chunks("size with an underscore", "0_5\r\nhello\r\n0\r\n\r\n"),
    .chunks("size with a plus", "+5\r\nhello\r\n0\r\n\r\n"),
    .chunks("size with a minus", "-5\r\nhello\r\n0\r\n\r\n"),
    .chunks("space before the size", " 5\r\nhello\r\n0\r\n\r\n"),
    .chunks("space behind the size", "5 \r\nhello\r\n0\r\n\r\n"),
    .chunks("tab behind the size", "5\t\r\nhello\r\n0\r\n\r\n"),
    .chunks("size of 17 digits", "00000000000000005\r\nhello\r\n0\r\n\r\n"),
    .chunks("size that does not fit", "8000000000000000\r\nhello\r\n0\r\n\r\n"),
    .chunks("size of all bits", "ffffffffffffffff\r\nhello\r\n0\r\n\r\n"),
    .chunks("bare LF behind the size", "5\nhello\r\n0\r\n\r\n"),
    .chunks("bare CR behind the size", "5\rhello\r\n0\r\n\r\n"),
    .chunks("CR CR LF behind the size", "5\r\r\nhello\r\n0\r\n\r\n"),
    .chunks("data longer than its size", "5\r\nhello!\r\n0\r\n\r\n"),
    .chunks("data shorter than its size", "6\r\nhello\r\n0\r\n\r\n"),
    .chunks("bare LF behind the data", "5\r\nhello\n0\r\n\r\n"),
    .chunks("bare CR behind the data", "5\r\nhello\r0\r\n\r\n"),
    .chunks("no line end behind the data", "5\r\nhello0\r\n\r\n"),
    .chunks("bare LF in an extension", "5;a\nhello\r\n0\r\n\r\n"),
    .chunks("bare CR in an extension", "5;a\rb\r\nhello\r\n0\r\n\r\n"),
    .chunks("bare LF in a quoted value", "5;a=\"\n\"\r\nhello\r\n0\r\n\r\n"),
    .chunks("line end in a quoted value", "5;a=\"\r\nhello\r\n0\r\n\r\n"),
    .chunks("control character in a quoted pair", "5;a=\"\\\u{1}\"\r\nhello\r\n0\r\n\r\n"),
    .chunks("NUL in an extension", "5;a\0\r\nhello\r\n0\r\n\r\n"),
    .chunks("extension without a name", "5;\r\nhello\r\n0\r\n\r\n"),
    .chunks("extension of an equals sign", "5;=a\r\nhello\r\n0\r\n\r\n"),
    .chunks("extension without its value", "5;a=\r\nhello\r\n0\r\n\r\n"),
    .chunks("extension with two values", "5;a=b=c\r\nhello\r\n0\r\n\r\n"),
    .chunks("something behind a quoted value", "5;a=\"b\"c\r\nhello\r\n0\r\n\r\n"),
    .chunks("space in an extension", "5; a\r\nhello\r\n0\r\n\r\n"),
    .chunks("bare LF behind the last chunk", "0\n\r\n"),
    .chunks("bare LF behind the trailers", "0\r\n\n"),
    .chunks("bare CR behind the trailers", "0\r\n\rX"),
    .chunks("bare LF in the trailers", "0\r\nA: b\n\r\n"),
    .chunks("space before a trailer's colon", "0\r\nA : b\r\n\r\n"),
    .chunks("folded trailer", "0\r\nA: b\r\n c\r\n\r\n"),
    .chunks("control character in a trailer", "0\r\nA: b\0\r\n\r\n"),
]

struct RefusalTests {
    /// What a next request would look like: it must never be interpreted.
    private let behind = Array("GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n".utf8)

    @Test(arguments: badHeads)
    func `a bad head is refused however it arrives`(_ testCase: RefusalCase) {
        let message = Array(testCase.message.utf8) + behind
        for cut in 0...message.count {
            let driver = Driver()
            driver.answer = answerHello
            driver.receive(Array(message[..<cut]))
            driver.receive(Array(message[cut...]))
            #expect(driver.requests.isEmpty)
            expectRefusal(driver, testCase)
        }
    }

    @Test(arguments: badBodies)
    func `a bad body is refused however it arrives`(_ testCase: RefusalCase) {
        let message = Array(testCase.message.utf8) + behind
        for cut in 0...message.count {
            let driver = Driver()
            driver.receive(Array(message[..<cut]))
            driver.receive(Array(message[cut...]))
            #expect(driver.requests.count == 1)
            #expect(driver.resets == [.malformed])
            #expect(driver.ends.isEmpty)
            expectRefusal(driver, testCase)
        }
    }

    @Test(arguments: badHeads + badBodies)
    func `a refusal does not depend on the pieces`(_ testCase: RefusalCase) {
        let driver = Driver()
        for byte in Array(testCase.message.utf8) + behind { driver.receive([byte]) }
        expectRefusal(driver, testCase)
    }

    private func expectRefusal(_ driver: Driver, _ testCase: RefusalCase) {
        let comment = Comment(rawValue: testCase.name)
        #expect(driver.text.hasPrefix("HTTP/1.1 \(testCase.status) "), comment)
        #expect(driver.text.contains("\r\nconnection: close\r\n"), comment)
        #expect(driver.text.split(separator: "HTTP/1.1").count == 1, comment)
        #expect(driver.engine.disposition == .close, comment)
        #expect(driver.engine.connectionError != nil, comment)
        #expect(!driver.engine.wantsInput, comment)
        #expect(driver.engine.deadline == nil, comment)
    }

    @Test func `a body that breaks after its response began ends in a reset`() {
        let driver = Driver()
        driver.receive("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        driver.send(.head(.ok()))
        driver.receive("oops\r\n")
        #expect(driver.resets == [.malformed])
        #expect(driver.engine.disposition == .abort)
        #expect(!driver.text.contains("400"))
        let before = driver.written
        driver.send(.body("late", end: true))
        #expect(driver.written == before)
    }

    @Test func `a body that breaks after its response was complete only ends the connection`() {
        let driver = Driver()
        driver.receive("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        answerHello(driver, driver.lastStream, driver.requests[0].1)
        driver.receive("oops\r\n")
        #expect(driver.resets.isEmpty)
        #expect(driver.engine.disposition == .close)
        #expect(driver.text.hasSuffix("hello"))
    }

    @Test func `a refused request behind a served one leaves the first response whole`() {
        let driver = Driver()
        driver.answer = answerHello
        driver.receive("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\n\r\n")
        #expect(driver.text.contains("\r\n\r\nhelloHTTP/1.1 400 Bad Request\r\n"))
        #expect(driver.text.hasSuffix("\r\n\r\n400 Bad Request: no Host field\n"))
    }
}
