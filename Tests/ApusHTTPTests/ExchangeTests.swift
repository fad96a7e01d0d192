import ApusGateway
import ApusHTTP
import Testing

struct ExchangeTests {
    private let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

    private func post(_ fields: String) -> String { "POST / HTTP/1.1\r\nHost: a\r\n\(fields)\r\n\r\n" }

    // MARK: Pipelining

    @Test func `the next request waits for the response before it`() {
        let driver = Driver()
        driver.receive(get + get + get)
        #expect(driver.requests.count == 1)
        for count in 2...3 {
            driver.send(.head(.ok(length: 2)))
            driver.send(.body("a", end: false))
            #expect(driver.requests.count == count - 1)
            driver.send(.body("b", end: true))
            #expect(driver.requests.count == count)
        }
        #expect(driver.requests.map(\.0.rawValue) == [1, 2, 3])
    }

    @Test func `the socket is not read while enough requests wait`() {
        let driver = Driver()
        driver.receive(get)
        #expect(driver.engine.wantsInput)
        driver.receive([UInt8](repeating: 0x41, count: 64 * 1024 - 1))
        #expect(driver.engine.wantsInput)
        driver.receive("A")
        #expect(!driver.engine.wantsInput)
    }

    @Test func `a client that does not read its responses is not served more of them`() {
        let driver = Driver()
        let message = Array((get + get).utf8)
        message.withUnsafeBytes { driver.engine.receive($0, now: driver.now) }
        driver.drainEvents()
        driver.engine.send(.head(.ok(length: 70_000)), on: StreamID(1))
        driver.engine.send(.body(Bytes(repeatElement(1, count: 70_000)), end: true), on: StreamID(1))
        driver.drainEvents()
        #expect(driver.requests.count == 1)
        #expect(driver.engine.deadline == nil)
        driver.settle()
        #expect(driver.requests.count == 2)
    }

    // MARK: Request bodies

    @Test func `a body waits for the application at its window`() {
        var limits = Limits()
        limits.streamReceiveWindow = 1000
        for fields in ["Content-Length: 2500", "Transfer-Encoding: chunked"] {
            let driver = Driver(limits)
            let data = [UInt8](repeating: 0x61, count: 2500)
            driver.receive(post(fields))
            driver.receive(fields.hasPrefix("T") ? Array("9c4\r\n".utf8) + data + Array("\r\n0\r\n\r\n".utf8) : data)
            #expect((900...1000).contains(driver.body.count))
            if driver.body.count == 1000 { #expect(!driver.engine.wantsInput) }
            while driver.ends.isEmpty, driver.body.count < 2500 {
                let before = driver.body.count
                driver.engine.consumed(500, on: StreamID(1))
                driver.settle()
                guard driver.body.count > before else { break }
            }
            driver.engine.consumed(2500, on: StreamID(1))
            driver.settle()
            #expect(driver.body == data)
            #expect(driver.ends.count == 1)
            #expect(driver.engine.wantsInput)
        }
    }

    @Test func `a body comes in pieces of at most 64 KiB`() {
        let driver = Driver()
        driver.receive(post("Content-Length: 150000"))
        driver.receive([UInt8](repeating: 1, count: 150_000))
        #expect(driver.bodyPieces == [65536, 65536, 150_000 - 131072])
        #expect(driver.ends.count == 1)
    }

    @Test func `many small chunks come as one piece`() {
        let driver = Driver()
        driver.receive(post("Transfer-Encoding: chunked"))
        driver.receive(String(repeating: "1\r\nx\r\n", count: 100))
        #expect(driver.bodyPieces == [100])
    }

    @Test func `forbidden trailers are dropped`() {
        let driver = Driver()
        driver.receive(
            post("Transfer-Encoding: chunked")
                + "0\r\nHost: b\r\nX-A: 1\r\nTransfer-Encoding: x\r\nAuthorization: x\r\nSet-Cookie: c\r\nX-b: 2\r\n\r\n"
        )
        #expect(driver.ends == [["x-a": "1", "x-b": "2"]])
        #expect(driver.requests[0].1.headers["host"] == "a")
    }

    @Test func `trailers that are all dropped are none`() {
        let driver = Driver()
        driver.receive(post("Transfer-Encoding: chunked") + "0\r\nContent-Type: text/html\r\n\r\n")
        #expect(driver.ends == [nil])
    }

    // MARK: Expect

    @Test func `a 100 is sent once, and not when the body is there`() {
        let waiting = Driver()
        waiting.receive(post("Content-Length: 2\r\nExpect: 100-continue"))
        #expect(waiting.written.isEmpty)
        waiting.send(.informational(status: 100, [:]))
        waiting.send(.informational(status: 100, [:]))
        #expect(waiting.text == "HTTP/1.1 100 Continue\r\n\r\n")
        waiting.receive("ab")
        answerHello(waiting, StreamID(1), waiting.requests[0].1)
        #expect(waiting.engine.disposition == .open)

        let eager = Driver()
        eager.receive(post("Content-Length: 2\r\nExpect: 100-continue") + "a")
        eager.send(.informational(status: 100, [:]))
        #expect(eager.written.isEmpty)
    }

    @Test func `a client that still waits for its 100 is sent away with the response`() {
        let driver = Driver()
        driver.receive(post("Content-Length: 2\r\nExpect: 100-continue"))
        answerHello(driver, StreamID(1), driver.requests[0].1)
        driver.settle()
        #expect(driver.text.contains("\r\nconnection: close\r\n"))
        #expect(driver.engine.disposition == .close)
    }

    // MARK: Unread bodies

    @Test func `an unread body is thrown away up to the limit`() {
        var limits = Limits()
        limits.maxDrainedBodySize = 100
        for (length, disposition) in [(100, Disposition.open), (101, .close)] {
            let driver = Driver(limits)
            driver.receive(post("Content-Length: \(length)"))
            answerHello(driver, StreamID(1), driver.requests[0].1)
            driver.settle()
            #expect(driver.engine.disposition == disposition)
            driver.receive(String(repeating: "x", count: length) + get)
            #expect(driver.requests.count == (disposition == .open ? 2 : 1))
            #expect(driver.body.isEmpty)
        }
    }

    @Test func `an unread chunked body is thrown away up to the limit`() {
        var limits = Limits()
        limits.maxDrainedBodySize = 100
        for (length, disposition) in [(80, Disposition.open), (99, .close)] {
            let driver = Driver(limits)
            driver.receive(post("Transfer-Encoding: chunked"))
            answerHello(driver, StreamID(1), driver.requests[0].1)
            driver.settle()
            #expect(driver.engine.disposition == .open)
            driver.receive(
                "\(String(length, radix: 16))\r\n\(String(repeating: "x", count: length))\r\n0\r\n\r\n" + get
            )
            #expect(driver.engine.disposition == disposition)
            #expect(driver.requests.count == (disposition == .open ? 2 : 1))
            #expect(driver.ends.count == (disposition == .open ? 1 : 0))
        }
    }

    @Test func `a paused body goes on into the void once the response is complete`() {
        var limits = Limits()
        limits.streamReceiveWindow = 10
        let driver = Driver(limits)
        driver.receive(post("Content-Length: 30") + String(repeating: "x", count: 30) + get)
        #expect(!driver.engine.wantsInput)
        answerHello(driver, StreamID(1), driver.requests[0].1)
        driver.settle()
        #expect(driver.requests.count == 2)
    }

    // MARK: The end

    @Test func `a FIN takes the client of a live request away`() {
        let silent = Driver()
        silent.receive(get)
        silent.receiveEnd()
        #expect(silent.resets == [.connectionLost])
        #expect(silent.engine.disposition == .close)
        #expect(silent.engine.connectionError?.kind == .peerGone)

        let begun = Driver()
        begun.receive(get)
        begun.send(.head(.ok(length: 5)))
        begun.receiveEnd()
        #expect(begun.resets == [.connectionLost])
        #expect(begun.engine.disposition == .abort)
        begun.send(.body("hello", end: true))
        #expect(!begun.text.contains("hello"))
    }

    @Test func `a FIN between requests ends the connection in order`() {
        let driver = Driver()
        driver.answer = answerHello
        driver.receive(get)
        driver.receiveEnd()
        #expect(driver.resets.isEmpty)
        #expect(driver.engine.disposition == .close)
        #expect(driver.engine.connectionError == nil)
    }

    @Test func `an idle connection that is shut down answers its next request and says that it is the last`() {
        let driver = Driver()
        driver.answer = answerHello
        driver.receive(get)
        driver.engine.shutdown(now: driver.now)
        driver.pass(seconds: 74.9)
        #expect(driver.engine.disposition == .open)
        #expect(!driver.text.contains("connection: close"))
        driver.receive(get + get)
        #expect(driver.text.hasSuffix("hello"))
        #expect(driver.text.contains("\r\nconnection: close\r\n"))
        #expect(driver.engine.disposition == .close)
        // RFC 9112 §9.6: what is pipelined behind the last response is not looked at.
        #expect(driver.requests.count == 2)
    }

    @Test func `an idle connection that is shut down ends with its keep-alive timeout`() {
        let driver = Driver()
        driver.answer = answerHello
        driver.receive(get)
        driver.pass(seconds: 40)
        driver.engine.shutdown(now: driver.now)
        driver.pass(seconds: 34.9)
        #expect(driver.engine.disposition == .open)
        driver.pass(seconds: 0.1)
        #expect(driver.engine.disposition == .close)
        #expect(driver.engine.connectionError == nil)
    }

    @Test func `a connection that was shut down before its first request answers it`() {
        let driver = Driver()
        driver.answer = answerHello
        driver.engine.shutdown(now: driver.now)
        driver.pass(seconds: 9.9)
        #expect(driver.engine.disposition == .open)
        driver.receive(get)
        #expect(driver.text.contains("\r\nconnection: close\r\n"))
        #expect(driver.engine.disposition == .close)
    }

    @Test func `a connection that was shut down before its first request waits no longer for it than any other`() {
        let driver = Driver()
        driver.engine.shutdown(now: driver.now)
        driver.pass(seconds: 10)
        #expect(driver.engine.disposition == .close)
        #expect(driver.written.isEmpty)
    }

    @Test func `a response whose head is out before a shutdown is followed by one more that says so`() {
        let driver = Driver()
        driver.receive(get + get + get)
        driver.send(.head(.ok(length: 5)))
        driver.engine.shutdown(now: driver.now)
        driver.send(.body("hello", end: true))
        #expect(!driver.text.contains("connection: close"))
        #expect(driver.engine.disposition == .open)
        #expect(driver.requests.count == 2)
        answerHello(driver, StreamID(2), driver.requests[1].1)
        driver.settle()
        #expect(driver.text.contains("\r\nconnection: close\r\n"))
        #expect(driver.engine.disposition == .close)
        #expect(driver.requests.count == 2)
    }

    @Test func `a shutdown lets the request under way finish`() {
        let driver = Driver()
        driver.receive(get + get)
        driver.engine.shutdown(now: driver.now)
        #expect(driver.engine.disposition == .open)
        answerHello(driver, StreamID(1), driver.requests[0].1)
        driver.settle()
        #expect(driver.text.contains("\r\nconnection: close\r\n"))
        #expect(driver.engine.disposition == .close)
        #expect(driver.requests.count == 1)
    }

    @Test func `a shutdown lets a head that has begun arrive`() {
        let driver = Driver()
        driver.answer = answerHello
        driver.receive("GET / HT")
        driver.engine.shutdown(now: driver.now)
        driver.receive("TP/1.1\r\nHost: a\r\n\r\n")
        #expect(driver.text.contains("\r\nconnection: close\r\n"))
        #expect(driver.engine.disposition == .close)
    }

    // MARK: Time

    @Test func `a client that says nothing is left without a word`() {
        let driver = Driver()
        driver.pass(seconds: 9.9)
        #expect(driver.engine.disposition == .open)
        driver.pass(seconds: 0.1)
        #expect(driver.engine.disposition == .close)
        #expect(driver.written.isEmpty)
    }

    @Test func `a head that drips in is cut off`() {
        let driver = Driver()
        for byte in "GET / HTTP".utf8 {
            driver.receive([byte])
            driver.pass(seconds: 1)
        }
        #expect(driver.status == "408")
        #expect(driver.engine.disposition == .close)
        #expect(driver.engine.connectionError?.kind == .timeout)
    }

    @Test func `a later head has its time from its first byte on`() {
        let driver = Driver()
        driver.answer = answerHello
        driver.receive(get)
        driver.pass(seconds: 70)
        driver.receive("G")
        driver.pass(seconds: 9)
        #expect(driver.engine.disposition == .open)
        driver.pass(seconds: 1)
        #expect(driver.engine.disposition == .close)
        #expect(driver.text.contains("HTTP/1.1 408 "))
    }

    @Test func `a connection without requests is kept for a while`() {
        let driver = Driver()
        driver.answer = answerHello
        driver.receive(get)
        let length = driver.written.count
        driver.receive("\r\n")
        driver.pass(seconds: 74.9)
        #expect(driver.engine.disposition == .open)
        driver.pass(seconds: 0.1)
        #expect(driver.engine.disposition == .close)
        #expect(driver.written.count == length)
        #expect(driver.engine.connectionError == nil)
    }

    @Test func `a request that is being answered has all the time it needs`() {
        let driver = Driver()
        driver.receive(get)
        #expect(driver.engine.deadline == nil)
    }

    @Test func `a body that stalls is cut off while the application waits for it`() {
        let driver = Driver()
        driver.receive(post("Content-Length: 10"))
        driver.pass(seconds: 59)
        driver.receive("x")
        #expect(driver.engine.deadline == nil)
        driver.pass(seconds: 1000)
        driver.engine.consumed(1, on: StreamID(1))
        driver.settle()
        driver.pass(seconds: 59)
        #expect(driver.engine.disposition == .open)
        driver.pass(seconds: 1)
        #expect(driver.status == "408")
        #expect(driver.resets == [.connectionLost])
        #expect(driver.engine.disposition == .close)
    }

    @Test func `a wait that began at an unknown time is never cut short`() {
        let driver = Driver()
        driver.receive(post("Content-Length: 10") + "x")
        driver.now = driver.now + .seconds(1000)
        driver.engine.consumed(1, on: StreamID(1))
        // The engine was not told that the time has passed.
        driver.engine.handleTimeout(now: driver.now)
        #expect(driver.engine.disposition == .open)
        #expect(driver.engine.deadline == driver.now + .seconds(60))
    }

    @Test func `a body that stalls after the response began ends in a reset`() {
        let driver = Driver()
        driver.receive(post("Content-Length: 10"))
        driver.send(.head(.ok()))
        driver.pass(seconds: 60)
        #expect(driver.resets == [.connectionLost])
        #expect(driver.engine.disposition == .abort)
    }

    @Test func `a body that nobody needs and that stalls ends the connection`() {
        let driver = Driver()
        driver.receive(post("Content-Length: 10"))
        answerHello(driver, StreamID(1), driver.requests[0].1)
        driver.settle()
        driver.pass(seconds: 60)
        #expect(driver.resets.isEmpty)
        #expect(driver.engine.disposition == .close)
        #expect(!driver.text.contains("408"))
    }

    @Test func `a client that waits for its 100 is not hurried`() {
        let driver = Driver()
        driver.receive(post("Content-Length: 10\r\nExpect: 100-continue"))
        #expect(driver.engine.deadline == nil)
        driver.send(.informational(status: 100, [:]))
        #expect(driver.engine.deadline == driver.now + .seconds(60))
    }
}
