import ApusGateway
import ApusHTTP
import ApusHTTP2
import ApusTestClients
import CNghttp2
import Testing

@Suite struct ConnectionTests {
    // MARK: - Errors

    @Test(arguments: [
        Array("GET / HTTP/1.1\r\nhost: a\r\n\r\n".utf8), [0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC], pattern(5000),
        Array("PRI * HTTP/2.0\r\n\r\nSX\r\n\r\n".utf8),
    ]) func `what is no preface ends the connection`(bytes: [UInt8]) throws {
        let harness = Harness()
        harness.feed(bytes)
        let error = try #require(harness.server.connectionError)
        #expect(error.kind == .protocolViolation)
        #expect(error.description.contains("PROTOCOL_ERROR"))
        #expect(!harness.server.wantsInput)
        #expect(Wire.goaways(harness.output()) == [NGHTTP2_PROTOCOL_ERROR.rawValue])
        #expect(harness.server.disposition == .close)
        harness.feed(bytes)
        #expect(harness.output().isEmpty)
        #expect(harness.events.isEmpty)
    }

    @Test func `an error of the connection resets every live stream`() throws {
        let harness = Harness()
        harness.feed(Wire.preface + Wire.get(1) + Wire.get(3, ends: false))
        // DATA on a stream that was never opened (RFC 9113 §5.1).
        harness.feed(Wire.data(99, [1]))
        let output = harness.output()
        #expect(Wire.goaways(output) == [NGHTTP2_PROTOCOL_ERROR.rawValue])
        let error = try #require(harness.server.connectionError)
        #expect(error.kind == .protocolViolation)
        #expect(error.description.hasPrefix("HTTP/2 PROTOCOL_ERROR: "))
        #expect(harness.resets(of: 1) == [.connectionLost])
        #expect(harness.resets(of: 3) == [.connectionLost])
        #expect(harness.server.disposition == .close)
        #expect(harness.server.deadline == nil)
        harness.respond(1)
        #expect(harness.output().isEmpty)
    }

    @Test(arguments: 0..<400) func `random frames never break the server`(seed: Int) {
        var state = UInt64(seed) &* 0x9E37_79B9_7F4A_7C15 | 1
        func random(_ bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % bound
        }
        let harness = Harness()
        harness.application = Applications.echo
        harness.feed(Wire.preface)
        for step in 0..<60 where harness.server.wantsInput {
            let stream = Int32(random(8))
            let payload = (0..<random(40)).map { _ in UInt8(random(256)) }
            switch random(4) {
            case 0: harness.feed(Wire.get(Int32(step * 2 + 1), ends: random(2) == 0))
            case 1: harness.feed(Wire.data(Int32(step * 2 - 1 & 0xFF), payload, ends: random(2) == 0))
            default:
                let type = UInt8(random(18))
                harness.feed(Wire.frame(type: type, flags: UInt8(random(256)), stream: stream, payload))
            }
            if random(2) == 0 { _ = harness.output() }
        }
        _ = harness.output()
        if harness.server.connectionError != nil { #expect(harness.server.disposition == .close) }
        for id in harness.events.compactMap({ if case .request(let id, _) = $0 { id } else { nil } }) {
            #expect(harness.resets(of: Int32(id.rawValue)).count <= 1)
        }
    }

    @Test func `too many CONTINUATION frames end the connection`() {
        func flood(_ count: Int) -> [UInt8] {
            Wire.frame(type: 1, flags: 1, stream: 1, Wire.block(Wire.request))
                + (1...count)
                .flatMap { Wire.frame(type: 9, flags: $0 == count ? 4 : 0, stream: 1, Wire.block([("x", "y")])) }
        }
        let fits = Harness()
        fits.feed(Wire.preface + flood(8))
        #expect(fits.requests.first?.headers.count == 9)
        let tooMany = Harness()
        tooMany.feed(Wire.preface + flood(10))
        #expect(tooMany.requests.isEmpty)
        #expect(tooMany.server.connectionError?.kind == .limitExceeded)
        #expect(Wire.goaways(tooMany.output()) == [NGHTTP2_ENHANCE_YOUR_CALM.rawValue])
        #expect(tooMany.server.disposition == .close)
    }

    @Test func `a peer that pings and does not listen is not read any more`() {
        let harness = Harness()
        harness.feed(Wire.preface)
        _ = harness.output()
        for _ in 0..<511 { harness.feed(Wire.ping()) }
        #expect(harness.server.wantsInput)
        harness.feed(Wire.ping())
        #expect(!harness.server.wantsInput)
        #expect(harness.output().count == 512 * 17)
        #expect(harness.server.wantsInput)
    }

    @Test func `a flood of pings in one breath ends the connection`() {
        let harness = Harness()
        harness.feed(Wire.preface + (0..<2000).flatMap { _ in Wire.ping() })
        #expect(harness.server.connectionError?.kind == .limitExceeded)
        #expect(Wire.goaways(harness.output()) == [NGHTTP2_ENHANCE_YOUR_CALM.rawValue])
        #expect(harness.server.disposition == .close)
    }

    @Test func `resets that nobody reads stop the reading`() {
        var limits = Limits()
        limits.streamResetBurst = 100_000
        let harness = Harness(limits: limits)
        harness.feed(Wire.preface)
        var fed = 0
        while harness.server.wantsInput, fed < 2000 {
            harness.feed(Wire.headers(Int32(fed * 2 + 1), Wire.request + [("connection", "close")]))
            fed += 1
        }
        #expect(fed < 600)
    }

    // MARK: - End

    @Test func `the peer's end resets every live stream`() {
        let harness = Harness()
        harness.feed(Wire.preface + Wire.get(1) + Wire.get(3, ends: false))
        harness.server.receiveEnd(now: harness.now)
        harness.server.receiveEnd(now: harness.now)
        harness.drain()
        #expect(harness.resets(of: 1) == [.connectionLost])
        #expect(harness.resets(of: 3) == [.connectionLost])
        #expect(harness.server.disposition == .close)
        #expect(harness.server.connectionError?.kind == .peerGone)
    }

    @Test func `the peer's end of an idle connection is no error`() {
        let harness = Harness()
        harness.application = Applications.hello
        harness.client.request()
        harness.run()
        harness.server.receiveEnd(now: harness.now)
        #expect(harness.server.disposition == .close)
        #expect(harness.server.connectionError == nil)
    }

    @Test func `after the peer's GOAWAY its streams are finished`() {
        let harness = Harness()
        harness.feed(Wire.preface + Wire.get(1) + Wire.frame(type: 7, flags: 0, stream: 0, [0, 0, 0, 0, 0, 0, 0, 0]))
        _ = harness.output()
        #expect(harness.server.disposition == .open)
        harness.respond(1)
        #expect(Wire.parse(harness.output()).contains { $0.type == 0 && $0.flags == 1 })
        #expect(harness.server.disposition == .close)
        #expect(harness.server.connectionError == nil)
        #expect(harness.resets(of: 1).isEmpty)
    }

    // MARK: - Shutdown

    @Test func `GOAWAY comes in two steps, in the middle of a download`() {
        let harness = Harness(window: 1000)
        let id = harness.client.request()
        harness.run()
        harness.respond(id, body: Bytes(pattern(3000)))
        harness.run()
        harness.server.shutdown(now: harness.now)
        harness.server.shutdown(now: harness.now)
        let notice = harness.output()
        #expect(
            Wire.parse(notice).filter { $0.type == 7 }.map { Array($0.payload[0..<4]) } == [[0x7F, 0xFF, 0xFF, 0xFF]]
        )
        // A request that was on its way is still taken.
        let late = harness.client.request()
        harness.feed(harness.client.output())
        harness.client.receive(notice)
        harness.respond(late)
        // The client's answer to our PING tells that it knows.
        harness.run()
        #expect(harness.client.goaways.map(\.lastStream) == [Int32.max, 3])
        #expect(harness.client.goaways.map(\.code) == [0, 0])
        #expect(harness.server.disposition == .open)
        for _ in 0..<2 {
            harness.client.consume(1000, on: id)
            harness.run()
        }
        #expect(isPattern(harness.client[id].body, 3000))
        #expect(harness.client[id].isComplete)
        #expect(harness.server.disposition == .close)
        #expect(harness.server.connectionError == nil)
    }

    @Test func `a silent client gets the second GOAWAY after the notice period`() {
        let harness = Harness()
        harness.feed(Wire.preface + Wire.get(1))
        _ = harness.output()
        harness.server.shutdown(now: harness.now)
        #expect(Wire.goaways(harness.output()) == [0])
        harness.advance(seconds: 4.9)
        #expect(harness.output().isEmpty)
        harness.advance(seconds: 0.1)
        #expect(Wire.goaways(harness.output()) == [0])
        harness.feed(Wire.get(3))
        #expect(harness.requests.count == 1)
        #expect(harness.server.disposition == .open)
        harness.respond(1)
        _ = harness.output()
        #expect(harness.server.disposition == .close)
    }

    @Test func `an idle connection closes after its shutdown`() {
        let harness = Harness()
        harness.run()
        harness.server.shutdown(now: harness.now)
        harness.run()
        harness.advance(seconds: 5)
        #expect(Wire.goaways(harness.output()) == [0])
        #expect(harness.server.disposition == .close)
        #expect(harness.server.connectionError == nil)
    }

    // MARK: - Timeouts

    @Test func `an idle connection is closed in order`() {
        let harness = Harness()
        harness.application = Applications.hello
        harness.client.request()
        harness.run()
        harness.advance(seconds: 30)
        harness.client.request()
        harness.run()
        harness.advance(seconds: 45)
        harness.advance(seconds: 29.9)
        harness.run()
        #expect(harness.server.disposition == .open)
        harness.advance(seconds: 0.1)
        harness.run()
        #expect(harness.client.goaways == [HTTP2Client.Goaway(lastStream: 3, code: 0)])
        #expect(harness.server.disposition == .close)
        #expect(harness.server.connectionError == nil)
    }

    @Test func `a connection with a stream is not idle`() {
        let harness = Harness()
        let id = harness.client.request()
        harness.run()
        for _ in 0..<10 { harness.advance(seconds: 60) }
        harness.respond(id)
        harness.run()
        #expect(harness.client[id].isComplete)
        #expect(harness.server.disposition == .open)
    }

    @Test(arguments: [0, 10, 24, 33]) func `the first request has to come in time`(cut: Int) {
        let harness = Harness()
        harness.feed(Array(Wire.preface.prefix(cut)))
        _ = harness.output()
        harness.advance(seconds: 9.9)
        #expect(harness.server.connectionError == nil)
        harness.advance(seconds: 0.1)
        #expect(harness.server.connectionError?.kind == .timeout)
        #expect(Wire.goaways(harness.output()) == [0])
        #expect(harness.server.disposition == .close)
    }

    @Test func `every header block has its own time`() {
        let harness = Harness()
        harness.application = Applications.hello
        harness.feed(Wire.preface)
        // Each read ends in the middle of a block.
        var rest: [UInt8] = []
        for index in 0..<10 {
            let block = Wire.get(Int32(index * 2 + 1))
            harness.feed(rest + block.prefix(20))
            rest = Array(block.dropFirst(20))
            _ = harness.output()
            harness.advance(seconds: 3)
        }
        #expect(harness.server.connectionError == nil)
        #expect(harness.requests.count == 9)
    }

    @Test func `a header block has to be completed in time`() {
        let harness = Harness()
        harness.feed(Wire.preface + Wire.get(1))
        harness.advance(seconds: 30)
        harness.feed(Wire.frame(type: 1, flags: 1, stream: 3, Wire.block(Wire.request)))
        harness.advance(seconds: 6)
        harness.feed(Wire.frame(type: 9, flags: 0, stream: 3, Wire.block([("x", "y")])))
        harness.advance(seconds: 3.9)
        #expect(harness.server.connectionError == nil)
        harness.advance(seconds: 0.1)
        #expect(harness.server.connectionError?.kind == .timeout)
        #expect(harness.resets(of: 1) == [.connectionLost])
        #expect(!Wire.goaways(harness.output()).isEmpty)
        #expect(harness.server.disposition == .close)
    }
}
