import ApusGateway
import ApusHTTP
import Testing

struct HTTP1ConnectionTests {
    @Test func `a GET is answered and the connection stays`() {
        let driver = Driver()
        driver.receive("GET /path?x=1 HTTP/1.1\r\nUser-Agent: t\r\nHost: example.org:8000\r\n\r\n")
        let head = driver.requests[0].1
        #expect(head.method == "GET")
        #expect(head.version == .http11)
        #expect(head.scheme == "http")
        #expect(head.target == "/path?x=1")
        #expect(head.headers == ["host": "example.org:8000", "user-agent": "t"])
        #expect(!head.hasBody)
        #expect(driver.ends.count == 1)
        driver.send(.head(.ok(length: 5)))
        driver.send(.body("hello", end: true))
        #expect(driver.text == "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 5\r\n\r\nhello")
        #expect(driver.engine.disposition == .open)
    }

    @Test func `pipelined requests are answered in order`() {
        let driver = Driver()
        driver.receive("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(driver.requests.map(\.1.target) == ["/1"])
        answerHello(driver, driver.lastStream, driver.requests[0].1)
        driver.settle()
        #expect(driver.requests.map(\.1.target) == ["/1", "/2"])
        #expect(driver.requests.map(\.0.rawValue) == [1, 2])
    }

    @Test func `a chunked upload is put together, with its trailers`() {
        let message =
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
            + "5\r\nhello\r\n6;a=b;c=\"d;\\\"\"\r\n world\r\n0\r\nX-Sum: 1\r\nContent-Length: 3\r\n\r\n"
            + "GET /next HTTP/1.1\r\nHost: a\r\n\r\n"
        let bytes = Array(message.utf8)
        for cut in 0...bytes.count {
            let driver = Driver()
            driver.receive(Array(bytes[..<cut]))
            driver.receive(Array(bytes[cut...]))
            #expect(String(decoding: driver.body, as: UTF8.self) == "hello world")
            #expect(driver.ends == [["x-sum": "1"]])
            #expect(driver.requests[0].1.contentLength == nil)
            driver.send(.head(.ok()))
            driver.send(.body("ab", end: false))
            driver.send(.body("0123456789abcdef", end: true))
            #expect(
                driver.text == "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n"
                    + "2\r\nab\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n"
            )
            #expect(driver.requests.last?.1.target == "/next")
        }
    }
}
