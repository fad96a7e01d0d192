import ApusGateway
import ApusHTTP
import Testing

struct ResponseTests {
    private func served(_ message: String = "GET / HTTP/1.1\r\nHost: a\r\n\r\n", _ limits: Limits = Limits()) -> Driver
    {
        let driver = Driver(limits)
        driver.receive(message)
        return driver
    }

    @Test func `the server's own fields go out behind the application's`() {
        let driver = served()
        driver.send(
            .head(
                ResponseHead(
                    status: 201,
                    headers: ["location": "/x", "Set-Cookie": "a", "set-cookie": "b", "content-length": "0"],
                    defaults: ["date": "now", "server": "apus"],
                    contentLength: 0
                )
            )
        )
        driver.send(.body(Bytes(), end: true))
        #expect(
            driver.text == "HTTP/1.1 201 Created\r\nlocation: /x\r\nSet-Cookie: a\r\nset-cookie: b\r\n"
                + "content-length: 0\r\ndate: now\r\nserver: apus\r\n\r\n"
        )
        #expect(driver.engine.disposition == .open)
    }

    @Test(arguments: [200, 299, 404, 500, 599, 600, 999])
    func `every status has three digits and a phrase`(_ status: Int) {
        let driver = served()
        driver.send(.head(ResponseHead(status: status, headers: [:], endsStream: true)))
        let line = driver.text.prefix { $0 != "\r\n" }
        #expect(line.hasPrefix("HTTP/1.1 \(status) "))
        #expect(line.count > 13)
    }

    @Test func `a response without anything behind its head says that it is empty`() {
        let driver = served()
        driver.send(.head(ResponseHead(status: 200, headers: [:], endsStream: true)))
        #expect(driver.text == "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
    }

    @Test(arguments: [204, 304])
    func `statuses without content have no framing`(_ status: Int) {
        let driver = served()
        driver.send(.head(ResponseHead(status: status, headers: [:], endsStream: true)))
        #expect(!driver.text.contains("content-length") && !driver.text.contains("transfer-encoding"))
        driver.receive("GET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(driver.requests.count == 2)
    }

    @Test func `a response to HEAD keeps its length and has no body`() {
        let driver = served("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
        let head = ResponseHead.ok(length: 5)
        head.endsStream = true
        driver.send(.head(head))
        driver.send(.body("hello", end: true))
        #expect(driver.text == "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 5\r\n\r\n")
    }

    @Test func `chunks have their size in hexadecimal and never end the body by being empty`() {
        let driver = served()
        driver.send(.head(ResponseHead(status: 200, headers: [:])))
        let start = driver.written.count
        driver.send(.body(Bytes(), end: false))
        #expect(driver.written.count == start)
        driver.send(.body(Bytes(repeatElement(0x61, count: 0x1ABC)), end: false))
        #expect(String(decoding: driver.written[start...].prefix(6), as: UTF8.self) == "1abc\r\n")
        driver.send(.body(Bytes(), end: true))
        #expect(driver.text.hasSuffix("a\r\n0\r\n\r\n"))
        #expect(driver.engine.disposition == .open)
    }

    @Test func `trailers end a chunked body, in place of a declared length`() {
        let driver = served()
        let head = ResponseHead.ok(length: 2)
        head.trailersFollow = true
        driver.send(.head(head))
        driver.send(.body("ab", end: false))
        driver.send(.trailers(["x-sum": "1"]))
        #expect(
            driver.text == "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n"
                + "2\r\nab\r\n0\r\nx-sum: 1\r\n\r\n"
        )
        #expect(driver.engine.disposition == .open)
    }

    @Test func `HTTP/1.0 gets neither chunks nor trailers nor informational responses`() {
        let driver = served("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        driver.send(.informational(status: 103, ["link": "</a>"]))
        let head = ResponseHead.ok()
        head.trailersFollow = true
        driver.send(.head(head))
        driver.send(.body("ab", end: false))
        driver.send(.trailers(["x-sum": "1"]))
        #expect(driver.text == "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\nab")
        #expect(driver.engine.disposition == .close)
    }

    @Test func `HTTP/1.0 that asks for it stays`() {
        let driver = served("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        answerHello(driver, driver.lastStream, driver.requests[0].1)
        driver.settle()
        #expect(driver.text.contains("\r\nconnection: keep-alive\r\n"))
        #expect(driver.engine.disposition == .open)
    }

    @Test func `early hints go out before the head`() {
        let driver = served()
        driver.send(.informational(status: 103, ["link": "</a>; rel=preload"]))
        driver.send(.informational(status: 103, ["link": "</b>; rel=preload"]))
        driver.send(.head(.ok(length: 0)))
        driver.send(.informational(status: 103, ["link": "late"]))
        driver.send(.body(Bytes(), end: true))
        #expect(
            driver.text == "HTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\n\r\n"
                + "HTTP/1.1 103 Early Hints\r\nlink: </b>; rel=preload\r\n\r\n"
                + "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 0\r\n\r\n"
        )
    }

    @Test func `the application can end the connection`() {
        let driver = served()
        let head = ResponseHead.ok(length: 1)
        head.closesConnection = true
        driver.send(.head(head))
        #expect(driver.text.contains("\r\nconnection: close\r\n"))
        #expect(driver.engine.disposition == .open)
        driver.send(.body("x", end: true))
        #expect(driver.engine.disposition == .close)
        driver.receive("GET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(driver.requests.count == 1)
    }

    @Test(arguments: ["HTTP/1.1", "HTTP/1.0"])
    func `a response that is given up ends in a reset`(_ version: String) {
        let driver = served("GET / \(version)\r\nHost: a\r\n\r\n")
        driver.send(.head(.ok()))
        driver.send(.body("half", end: false))
        driver.send(.reset(.internalError))
        #expect(driver.engine.disposition == .abort)
        #expect(!driver.text.hasSuffix("0\r\n\r\n"))
        #expect(driver.resets.isEmpty)
    }

    @Test func `events for other streams are passed over`() {
        let driver = served()
        driver.send(.head(.ok(length: 0)), on: 2)
        driver.send(.head(.ok(length: 0)), on: 0)
        #expect(driver.written.isEmpty)
        answerHello(driver, driver.lastStream, driver.requests[0].1)
        driver.settle()
        let length = driver.written.count
        driver.send(.body("again", end: true), on: 1)
        driver.send(.reset(.cancelled), on: 1)
        #expect(driver.written.count == length)
        #expect(driver.engine.disposition == .open)
    }

    @Test func `a file is framed as bytes are`() {
        let file = FileRegion(descriptor: -1, offset: 3, count: 10) { _ in }
        let driver = served()
        driver.engine.send(.head(.ok()), on: StreamID(1))
        driver.engine.send(.file(file, end: true), on: StreamID(1))
        var buffer = OutputBuffer()
        driver.engine.nextOutput(into: &buffer, now: driver.now)
        #expect(String(decoding: bytes(of: buffer), as: UTF8.self).hasSuffix("\r\n\r\na\r\n"))
        buffer.consume(bytes(of: buffer).count)
        guard case .file(_, offset: 3, count: 10) = buffer.front else {
            Issue.record("the file is not next")
            return
        }
        buffer.consume(10)
        #expect(String(decoding: bytes(of: buffer), as: UTF8.self) == "\r\n0\r\n\r\n")
    }

    @Test func `a small response leaves in one piece of memory`() {
        let driver = served()
        answerHello(driver, StreamID(1), driver.requests[0].1)
        var buffer = OutputBuffer()
        driver.engine.nextOutput(into: &buffer, now: driver.now)
        #expect(buffer.withVectors(limit: 16) { $0.count } == 1)
    }

    @Test func `output is given in bounded pieces, and the application is told when it may go on`() {
        let driver = served()
        let stream = StreamID(1)
        driver.engine.send(.head(.ok(length: 600_000)), on: stream)
        driver.engine.send(.body(Bytes(repeatElement(1, count: 600_000)), end: false), on: stream)
        #expect(driver.engine.bufferedOutput(on: stream) > 600_000)
        var buffer = OutputBuffer()
        driver.engine.nextOutput(into: &buffer, now: driver.now)
        #expect(buffer.count == 256 * 1024)
        driver.engine.nextOutput(into: &buffer, now: driver.now)
        driver.drainEvents()
        #expect(driver.writable == 0)
        buffer.removeAll()
        driver.engine.nextOutput(into: &buffer, now: driver.now)
        driver.drainEvents()
        #expect(driver.writable == 1)
        #expect(driver.engine.bufferedOutput(on: stream) == 0)
        driver.settle()
        #expect(driver.writable == 1)
    }
}
