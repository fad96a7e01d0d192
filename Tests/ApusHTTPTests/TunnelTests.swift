import ApusGateway
import ApusHTTP
import Testing

private let upgrade = "Upgrade: websocket\r\nConnection: Upgrade"

private func get(_ fields: String) -> String { "GET /chat HTTP/1.1\r\nHost: a\r\n\(fields)\r\n\r\n" }

/// A request, and whether it asks for a WebSocket.
struct OpeningCase: Sendable, CustomTestStringConvertible {
    let name: String
    let message: String

    var testDescription: String { name }
}

private let openings: [OpeningCase] = [
    OpeningCase(name: "as browsers write it", message: get(upgrade)),
    OpeningCase(name: "in any case", message: get("upgrade: WebSocket\r\nconnection: UPGRADE")),
    OpeningCase(name: "among others", message: get("Upgrade: h2c, websocket\r\nConnection: keep-alive, Upgrade")),
    OpeningCase(name: "in two fields each", message: get("Upgrade: x\r\nConnection: x\r\n\(upgrade)")),
    OpeningCase(name: "in the other order", message: get("Connection: Upgrade\r\nUpgrade: websocket")),
    OpeningCase(name: "with a body of nothing", message: get("\(upgrade)\r\nContent-Length: 0")),
    OpeningCase(name: "to a proxy", message: "GET http://a/chat HTTP/1.1\r\nHost: a\r\n\(upgrade)\r\n\r\n"),
]

private let others: [OpeningCase] = [
    OpeningCase(name: "no connection field", message: get("Upgrade: websocket")),
    OpeningCase(name: "another connection field", message: get("Upgrade: websocket\r\nConnection: keep-alive")),
    OpeningCase(name: "no upgrade field", message: get("Connection: Upgrade")),
    OpeningCase(name: "h2c", message: get("Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AA")),
    OpeningCase(name: "a longer name", message: get("Upgrade: websockets\r\nConnection: Upgrade")),
    OpeningCase(name: "a field of that length", message: get("Referer: websocket\r\nConnection: Upgrade")),
    OpeningCase(name: "HEAD", message: "HEAD / HTTP/1.1\r\nHost: a\r\n\(upgrade)\r\n\r\n"),
    OpeningCase(name: "POST", message: "POST / HTTP/1.1\r\nHost: a\r\n\(upgrade)\r\n\r\n"),
    OpeningCase(name: "get", message: "get / HTTP/1.1\r\nHost: a\r\n\(upgrade)\r\n\r\n"),
    OpeningCase(
        name: "HTTP/1.0",
        message: "GET / HTTP/1.0\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade, keep-alive\r\n\r\n"
    ),
    OpeningCase(name: "a body", message: get("\(upgrade)\r\nContent-Length: 5") + "hello"),
    OpeningCase(name: "chunks", message: get("\(upgrade)\r\nTransfer-Encoding: chunked") + "5\r\nhello\r\n0\r\n\r\n"),
]

struct TunnelTests {
    private let accept = ResponseHead(
        status: 101,
        headers: ["sec-websocket-accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="],
        defaults: ["server": "apus"],
        opensTunnel: true
    )

    /// An engine with a tunnel open; what was written for that is forgotten.
    private func tunnel(_ limits: Limits = Limits()) -> Driver {
        let driver = Driver(limits, webSockets: true)
        driver.receive(get(upgrade))
        driver.send(.head(accept))
        driver.written = []
        return driver
    }

    // MARK: Openings

    @Test(arguments: openings)
    func `a request for a WebSocket is told as one`(_ opening: OpeningCase) throws {
        let driver = Driver(webSockets: true)
        driver.receive(opening.message)
        let head = try #require(driver.requests.first?.1)
        #expect(head.isWebSocket)
        #expect(!head.hasBody)
        #expect(head.method == "GET")
        #expect(head.target == "/chat")
        // Its end is the WebSocket's.
        #expect(driver.ends.isEmpty)
        #expect(driver.engine.deadline == nil)
    }

    @Test(arguments: others)
    func `anything else is an ordinary request`(_ other: OpeningCase) {
        let driver = Driver(webSockets: true)
        driver.answer = answerHello
        driver.receive(other.message)
        #expect(driver.requests.map(\.1.isWebSocket) == [false])
        #expect(driver.ends.count == 1)
        driver.receive(get(""))
        #expect(driver.requests.count == 2)
    }

    @Test(arguments: openings)
    func `where WebSockets are not served, every request is an ordinary one`(_ opening: OpeningCase) {
        let driver = Driver()
        driver.answer = answerHello
        driver.receive(opening.message + opening.message)
        #expect(driver.requests.map(\.1.isWebSocket) == [false, false])
        #expect(driver.ends.count == 2)
    }

    @Test func `an acceptance is a 101 without framing`() {
        let driver = Driver(webSockets: true)
        driver.receive(get(upgrade))
        let head = ResponseHead(
            status: 101,
            headers: ["sec-websocket-accept": "x", "content-length": "5", "set-cookie": "a=b"],
            defaults: ["date": "now"],
            opensTunnel: true
        )
        driver.send(.head(head))
        #expect(
            driver.text == "HTTP/1.1 101 Switching Protocols\r\nsec-websocket-accept: x\r\nset-cookie: a=b\r\n"
                + "date: now\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n"
        )
        #expect(driver.engine.disposition == .open)
    }

    @Test func `only a head that opens a tunnel is a 101`() {
        let driver = Driver(webSockets: true)
        driver.receive(get(upgrade))
        driver.send(.informational(status: 101, ["x": "y"]))
        #expect(driver.written.isEmpty)
        driver.send(.informational(status: 103, [:]))
        driver.send(.head(accept))
        #expect(driver.text.hasPrefix("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 101 Switching Protocols\r\n"))
    }

    @Test func `an ordinary request opens no tunnel`() {
        let driver = Driver(webSockets: true)
        driver.receive(get("") + get(""))
        driver.send(.head(ResponseHead(status: 200, headers: [:], opensTunnel: true)))
        driver.send(.body("a", end: true))
        #expect(driver.text == "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n")
        #expect(driver.requests.count == 2)
    }

    // MARK: Bytes

    @Test func `bytes pass as they are, both ways`() {
        let driver = tunnel()
        driver.receive("GET / HTTP/1.1\r\n\r\n")
        driver.receive([0, 255])
        #expect(driver.body == Array("GET / HTTP/1.1\r\n\r\n".utf8) + [0, 255])
        #expect(driver.requests.count == 1)
        driver.send(.body("hel", end: false))
        driver.send(.body("", end: false))
        driver.send(.body("lo", end: false))
        #expect(driver.text == "hello")
        #expect(driver.ends.isEmpty)
        #expect(driver.engine.disposition == .open)
    }

    @Test func `bytes behind the request wait for the answer, wherever they are cut`() {
        let message = Array((get(upgrade) + "first bytes").utf8)
        for cut in 1...message.count {
            let driver = Driver(webSockets: true)
            driver.receive(Array(message[..<cut]))
            driver.receive(Array(message[cut...]))
            #expect(driver.body.isEmpty)
            driver.send(.head(accept))
            #expect(driver.body == Array("first bytes".utf8), "cut at \(cut)")
            driver.receive(", more")
            #expect(driver.body == Array("first bytes, more".utf8), "cut at \(cut)")
        }
    }

    @Test func `bytes behind the request are bounded`() {
        let driver = Driver(webSockets: true)
        driver.receive(get(upgrade))
        driver.receive([UInt8](repeating: 1, count: 64 * 1024 - 1))
        #expect(driver.engine.wantsInput)
        driver.receive([1])
        #expect(!driver.engine.wantsInput)
        driver.send(.head(accept))
        #expect(driver.engine.wantsInput)
        #expect(driver.body.count == 64 * 1024)
    }

    @Test func `bytes that the application does not take close the socket's window`() {
        var limits = Limits()
        limits.streamReceiveWindow = 100_000
        let driver = tunnel(limits)
        let data = (0..<250_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        driver.receive(data)
        #expect(driver.bodyPieces == [65_536, 34_464])
        #expect(!driver.engine.wantsInput)
        driver.engine.consumed(50_000, on: StreamID(1))
        driver.settle()
        #expect(driver.body.count == 150_000)
        driver.engine.consumed(100_000, on: StreamID(1))
        driver.settle()
        #expect(driver.body == data)
        #expect(!driver.engine.wantsInput)
        driver.engine.consumed(1, on: StreamID(1))
        #expect(driver.engine.wantsInput)
    }

    @Test func `bytes that the peer does not take are counted, and called for again`() {
        var limits = Limits()
        limits.streamSendHighWater = 1000
        limits.streamSendLowWater = 100
        let driver = tunnel(limits)
        driver.engine.send(.body(Bytes(repeatElement(1, count: 999)), end: false), on: StreamID(1))
        driver.settle()
        #expect(driver.writable == 0)
        driver.engine.send(.body(Bytes(repeatElement(1, count: 1000)), end: false), on: StreamID(1))
        #expect(driver.engine.bufferedOutput(on: StreamID(1)) == 1000)
        driver.settle()
        #expect(driver.writable == 1)
        #expect(driver.written.count == 1999)
    }

    @Test func `a silent tunnel is waited for, and keeps no memory for what it may say`() {
        let driver = tunnel()
        var buffer = OutputBuffer()
        for size in [10, 5000] {
            driver.engine.send(.body(Bytes(repeatElement(1, count: size)), end: false), on: StreamID(1))
            driver.engine.nextOutput(into: &buffer, now: driver.now)
            #expect(buffer.count == size)
            buffer.consume(size)
            driver.engine.nextOutput(into: &buffer, now: driver.now)
            #expect(buffer.blockCapacity == 0)
        }
        #expect(driver.engine.deadline == nil)
        driver.pass(seconds: 1_000_000)
        driver.receive("a")
        #expect(driver.engine.deadline == nil)
        #expect(driver.body == [0x61])
        #expect(driver.engine.disposition == .open)
    }

    // MARK: Ends

    @Test func `our end closes the connection behind what was sent`() {
        let driver = tunnel()
        driver.engine.send(.body("a", end: false), on: StreamID(1))
        driver.engine.send(.body("b", end: true), on: StreamID(1))
        #expect(driver.engine.disposition == .close)
        driver.settle()
        #expect(driver.text == "ab")
        // What still comes is nobody's.
        driver.receive(get(""))
        driver.receiveEnd()
        driver.send(.body("c", end: true))
        #expect(driver.text == "ab")
        #expect(driver.body.isEmpty)
        #expect(driver.requests.count == 1)
        #expect(driver.resets.isEmpty)
        #expect(driver.engine.connectionError == nil)
    }

    @Test func `a reset cuts the connection`() {
        let driver = tunnel()
        driver.send(.reset(.cancelled))
        #expect(driver.engine.disposition == .abort)
        driver.receive("a")
        #expect(driver.body.isEmpty)
    }

    @Test func `the peer's end is told behind all its bytes, whatever the window, and ends the connection in order`() {
        var limits = Limits()
        limits.streamReceiveWindow = 100
        let driver = tunnel(limits)
        let data = (0..<70_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        driver.receive(data)
        #expect(driver.body.count == 100)
        // Not yet written when the end comes.
        driver.engine.send(.body("bye", end: false), on: StreamID(1))
        driver.receiveEnd()
        #expect(driver.body == data)
        #expect(driver.bodyPieces == [100, 65_536, 70_000 - 65_636])
        #expect(driver.resets == [.connectionLost])
        #expect(driver.engine.disposition == .close)
        #expect(driver.text == "bye")
        #expect(driver.engine.connectionError?.kind == .peerGone)
        driver.send(.body("late", end: true))
        #expect(driver.text == "bye")
    }

    @Test func `a peer that leaves before the answer has left its request`() {
        let driver = Driver(webSockets: true)
        driver.receive(get(upgrade) + "bytes")
        driver.receiveEnd()
        #expect(driver.resets == [.connectionLost])
        #expect(driver.body.isEmpty)
        driver.send(.head(accept))
        #expect(driver.written.isEmpty)
        #expect(driver.engine.disposition == .close)
    }

    @Test func `a shutdown waits for the tunnel's end`() {
        let driver = tunnel()
        driver.engine.shutdown(now: driver.now)
        #expect(driver.engine.disposition == .open)
        driver.receive("a")
        #expect(driver.body == [0x61])
        driver.send(.body("b", end: true))
        #expect(driver.text == "b")
        #expect(driver.engine.disposition == .close)
    }

    @Test func `a WebSocket that was asked for before the shutdown may still be opened`() {
        let driver = Driver(webSockets: true)
        driver.receive(get(upgrade))
        driver.engine.shutdown(now: driver.now)
        driver.send(.head(accept))
        #expect(driver.text.hasSuffix("connection: Upgrade\r\nupgrade: websocket\r\n\r\n"))
        driver.receive("a")
        #expect(driver.body == [0x61])
    }

    // MARK: Denials

    @Test func `behind a denial the connection goes on`() {
        let driver = Driver(webSockets: true)
        driver.receive(get(upgrade))
        answerHello(driver, StreamID(1), driver.requests[0].1)
        driver.settle()
        #expect(
            driver.text == "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 5\r\n\r\nhello"
        )
        #expect(driver.engine.disposition == .open)
        driver.receive(get(""))
        #expect(driver.requests.map(\.1.isWebSocket) == [true, false])
    }

    @Test(arguments: [true, false])
    func `a 426 names what it asks for`(keepsAlive: Bool) {
        let driver = Driver(webSockets: true)
        driver.receive("GET / HTTP/1.1\r\nHost: a\r\n\(keepsAlive ? "" : "Connection: close\r\n")\r\n")
        driver.send(
            .head(ResponseHead(status: 426, headers: ["content-length": "0"], contentLength: 0, endsStream: true))
        )
        let fields = "connection: Upgrade\(keepsAlive ? "" : ", close")\r\nupgrade: websocket\r\n"
        #expect(driver.text.contains(fields))
    }

    @Test func `where WebSockets are not served, a 426 names none`() {
        let driver = Driver()
        driver.receive(get(""))
        driver.send(
            .head(ResponseHead(status: 426, headers: ["content-length": "0"], contentLength: 0, endsStream: true))
        )
        #expect(!driver.text.contains("upgrade"))
    }

    @Test func `bytes behind a denied opening are no request`() {
        let driver = Driver(webSockets: true)
        driver.receive(get(upgrade) + get(""))
        driver.send(.head(.ok(length: 5)))
        driver.send(.body("hello", end: true))
        #expect(driver.text.contains("connection: close\r\n"))
        #expect(driver.text.hasSuffix("\r\n\r\nhello"))
        #expect(driver.engine.disposition == .close)
        #expect(driver.requests.count == 1)
    }

    @Test func `bytes that come while an opening is being denied are no request`() {
        let driver = Driver(webSockets: true)
        driver.receive(get(upgrade))
        driver.send(.head(.ok(length: 5)))
        driver.receive(get(""))
        driver.send(.body("hello", end: true))
        #expect(driver.text.hasSuffix("hello"))
        #expect(driver.engine.disposition == .close)
        #expect(driver.requests.count == 1)
    }
}
