import ApusGateway
import ApusHTTP
import Testing

/// A message that must be served, and what the application has to see of it.
struct AcceptanceCase: Sendable, CustomTestStringConvertible {
    let name: String
    let message: String
    var method = "GET"
    var target = "/"
    var host: String? = "a"
    var body = ""
    var keepsAlive = true

    var testDescription: String { name }
}

private let goodMessages: [AcceptanceCase] = [
    AcceptanceCase(name: "an empty line before", message: "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    AcceptanceCase(name: "no white space", message: "GET / HTTP/1.1\r\nHost:a\r\nX:\r\n\r\n"),
    AcceptanceCase(name: "much white space", message: "GET / HTTP/1.1\r\nHost: \t a\t \r\nX: \t\r\n\r\n"),
    AcceptanceCase(
        name: "tab within a value",
        message: "GET / HTTP/1.1\r\nHost: a\r\nX: 1\t2 3456789\tabcdefg\r\n\r\n"
    ),
    AcceptanceCase(name: "bytes past ASCII in a value", message: "GET / HTTP/1.1\r\nHost: a\r\nX: äöü\r\n\r\n"),
    AcceptanceCase(
        name: "bytes past ASCII in the target",
        message: "GET /ä?ö HTTP/1.1\r\nHost: a\r\n\r\n",
        target: "/ä?ö"
    ),
    AcceptanceCase(
        name: "every punctuation in the target",
        message: "GET /\"<>\\^`{|}%zz?? HTTP/1.1\r\nHost: a\r\n\r\n",
        target: "/\"<>\\^`{|}%zz??"
    ),
    AcceptanceCase(
        name: "unknown method",
        message: "BREW /pot HTTP/1.1\r\nHost: a\r\n\r\n",
        method: "BREW",
        target: "/pot"
    ),
    AcceptanceCase(name: "lower-case method", message: "get / HTTP/1.1\r\nHost: a\r\n\r\n", method: "get"),
    AcceptanceCase(name: "TRACE", message: "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", method: "TRACE"),
    AcceptanceCase(
        name: "OPTIONS *",
        message: "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        method: "OPTIONS",
        target: "*"
    ),
    AcceptanceCase(
        name: "OPTIONS about a whole server",
        message: "OPTIONS http://b:1 HTTP/1.1\r\nHost: a\r\n\r\n",
        method: "OPTIONS",
        target: "*",
        host: "b:1"
    ),
    AcceptanceCase(
        name: "absolute target",
        message: "GET http://b:80/x?y HTTP/1.1\r\nHost: a\r\n\r\n",
        target: "/x?y",
        host: "b:80"
    ),
    AcceptanceCase(
        name: "absolute target without path",
        message: "GET HTTPS://b HTTP/1.1\r\nHost: a\r\n\r\n",
        host: "b"
    ),
    AcceptanceCase(
        name: "absolute target with only a query",
        message: "GET http://b?y/z HTTP/1.1\r\nHost: a\r\n\r\n",
        target: "/?y/z",
        host: "b"
    ),
    AcceptanceCase(
        name: "absolute target without Host in HTTP/1.0",
        message: "GET http://b/ HTTP/1.0\r\n\r\n",
        host: "b",
        keepsAlive: false
    ),
    AcceptanceCase(name: "empty Host", message: "GET / HTTP/1.1\r\nHost:\r\n\r\n", host: ""),
    AcceptanceCase(name: "IPv6 Host", message: "GET / HTTP/1.1\r\nHost: [::1]:8443\r\n\r\n", host: "[::1]:8443"),
    AcceptanceCase(name: "Host with an empty port", message: "GET / HTTP/1.1\r\nHost: a:\r\n\r\n", host: "a:"),
    AcceptanceCase(name: "Host with %", message: "GET / HTTP/1.1\r\nHost: a%2Fb_c\r\n\r\n", host: "a%2Fb_c"),
    AcceptanceCase(name: "higher minor version", message: "GET / HTTP/1.7\r\nHost: a\r\n\r\n"),
    AcceptanceCase(name: "HTTP/1.0", message: "GET / HTTP/1.0\r\n\r\n", host: nil, keepsAlive: false),
    AcceptanceCase(
        name: "HTTP/1.0 that stays",
        message: "GET / HTTP/1.0\r\nHost: a\r\nConnection: Keep-Alive\r\n\r\n"
    ),
    AcceptanceCase(
        name: "close",
        message: "GET / HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n",
        keepsAlive: false
    ),
    AcceptanceCase(
        name: "close and keep-alive",
        message: "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n",
        keepsAlive: false
    ),
    AcceptanceCase(
        name: "a body by length",
        message: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        method: "POST",
        body: "hello"
    ),
    AcceptanceCase(
        name: "leading zeros in the length",
        message: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 005\r\n\r\nhello",
        method: "POST",
        body: "hello"
    ),
    AcceptanceCase(
        name: "a length of 0",
        message: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        method: "POST"
    ),
    AcceptanceCase(
        name: "a body of a GET",
        message: "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n\r\n",
        body: "\r\n"
    ),
    AcceptanceCase(
        name: "chunks",
        message:
            "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n00a\r\n0123456789\r\n0\r\n\r\n",
        method: "PUT",
        body: "hello0123456789"
    ),
    AcceptanceCase(
        name: "no chunk but the last",
        message: "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n000;x\r\n\r\n",
        method: "PUT"
    ),
    AcceptanceCase(
        name: "extensions of chunks",
        message: "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
            + "A;a;b=c;d=\"e;\\\"\u{9}ä\"\r\n0123456789\r\n0;z=\"\"\r\n\r\n",
        method: "PUT",
        body: "0123456789"
    ),
]

struct AcceptanceTests {
    @Test(arguments: goodMessages)
    func `a good request is served however it arrives`(_ testCase: AcceptanceCase) {
        let message = Array(testCase.message.utf8)
        for cut in 0...message.count {
            let driver = Driver()
            driver.receive(Array(message[..<cut]))
            driver.receive(Array(message[cut...]))
            check(driver, testCase)
        }
        let driver = Driver()
        for byte in message { driver.receive([byte]) }
        check(driver, testCase)
    }

    private func check(_ driver: Driver, _ testCase: AcceptanceCase) {
        let comment = Comment(rawValue: "\(testCase.name): \(driver.text)")
        guard driver.requests.count == 1, driver.ends.count == 1 else {
            Issue.record(comment)
            return
        }
        let head = driver.requests[0].1
        #expect(head.method == testCase.method, comment)
        #expect(head.target == Bytes(testCase.target), comment)
        #expect(head.headers["host"] == testCase.host, comment)
        #expect(testCase.host == nil || head.headers.first { _ in true }?.name == "host", comment)
        #expect(String(decoding: driver.body, as: UTF8.self) == testCase.body, comment)
        answerHello(driver, driver.lastStream, head)
        driver.settle()
        #expect(driver.text.contains("connection: close\r\n") == !testCase.keepsAlive, comment)
        #expect((driver.engine.disposition == .close) == !testCase.keepsAlive, comment)
    }

    @Test func `the head tells what the fields say`() {
        let driver = Driver(secure: true)
        driver.receive(
            "POST / HTTP/1.1\r\nTE: gzip, trailers\r\nX-A: 1\r\nHost: a\r\nExpect: 100-Continue\r\nx-a: 2\r\n"
                + "Content-Length: 7\r\n\r\n"
        )
        let head = driver.requests[0].1
        #expect(head.scheme == "https")
        #expect(head.acceptsTrailers)
        #expect(head.expectsContinue)
        #expect(head.hasBody)
        #expect(head.contentLength == 7)
        #expect(head.headers.map(\.name) == ["host", "te", "x-a", "expect", "x-a", "content-length"])
        #expect(head.headers[all: "X-A"] == ["1", "2"])
    }

    @Test func `HTTP/1.0 clients neither wait for a 100 nor take trailers`() {
        let driver = Driver()
        driver.receive("POST / HTTP/1.0\r\nTE: trailers\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx")
        #expect(!driver.requests[0].1.expectsContinue)
        #expect(!driver.requests[0].1.acceptsTrailers)
    }

    @Test func `unknown expectations and a request without body expect nothing`() {
        for fields in ["Expect: 200-ok\r\nContent-Length: 1", "Expect: 100-continue"] {
            let driver = Driver()
            driver.receive("POST / HTTP/1.1\r\nHost: a\r\n\(fields)\r\n\r\n")
            #expect(driver.requests.first?.1.expectsContinue == false)
        }
    }

    @Test func `random damage is judged the same whole and in pieces`() {
        var random = SeededGenerator(state: 42)
        let alphabet: [UInt8] = [0, 9, 10, 13, 32, 35, 48, 58, 59, 61, 127, 200]
        for _ in 0..<2000 {
            var message = Array((goodMessages.randomElement(using: &random)?.message ?? "").utf8)
            message += Array((goodMessages.randomElement(using: &random)?.message ?? "").utf8)
            for _ in 0..<Int.random(in: 0...2, using: &random) {
                let index = message.indices.randomElement(using: &random) ?? 0
                switch Int.random(in: 0..<3, using: &random) {
                case 0: message.remove(at: index)
                case 1: message.insert(alphabet.randomElement(using: &random) ?? 0, at: index)
                default: message[index] = alphabet.randomElement(using: &random) ?? 0
                }
            }
            // However broken the end is, here is one more.
            message += Array("\r\n\r\n\r\n".utf8)
            let whole = Driver()
            whole.answer = answerHello
            whole.receive(message)
            let pieces = Driver()
            pieces.answer = answerHello
            for byte in message { pieces.receive([byte]) }
            #expect(whole.text == pieces.text, "\(String(decoding: message, as: UTF8.self).debugDescription)")
            #expect(whole.requests.count == pieces.requests.count)
            #expect(whole.engine.disposition == pieces.engine.disposition)
        }
    }
}

/// A small generator of numbers that are the same in every run (SplitMix64).
struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
