import ApusGateway
import ApusHTTP
import ApusHTTP2
import ApusTestClients
import CNghttp2
import Testing

@Suite struct ResetTests {
    @Test(arguments: [
        (NGHTTP2_CANCEL, StreamReset.cancelled), (NGHTTP2_NO_ERROR, .noError), (NGHTTP2_INTERNAL_ERROR, .internalError),
        (NGHTTP2_REFUSED_STREAM, .refused), (NGHTTP2_PROTOCOL_ERROR, .malformed),
        (NGHTTP2_ENHANCE_YOUR_CALM, .excessiveLoad), (NGHTTP2_CONNECT_ERROR, .other(10)),
    ]) func `the peer's reset reaches the application`(code: nghttp2_error_code, reset: StreamReset) {
        let harness = Harness()
        let id = harness.client.request()
        harness.run()
        harness.client.reset(id, code)
        harness.run()
        #expect(harness.resets(of: id) == [reset])
        harness.respond(id)
        harness.run()
        #expect(harness.client[id].status == nil)
        #expect(harness.server.disposition == .open)
    }

    @Test(arguments: [
        (StreamReset.internalError, NGHTTP2_INTERNAL_ERROR), (.cancelled, NGHTTP2_CANCEL),
        (.refused, NGHTTP2_REFUSED_STREAM), (.malformed, NGHTTP2_PROTOCOL_ERROR),
        (.excessiveLoad, NGHTTP2_ENHANCE_YOUR_CALM), (.other(10), NGHTTP2_CONNECT_ERROR),
    ]) func `our reset reaches the peer, and drops what waits`(reset: StreamReset, code: nghttp2_error_code) {
        let harness = Harness(window: 100)
        let id = harness.client.request()
        harness.run()
        harness.send(.head(ResponseHead(status: 200, headers: [:])), on: id)
        harness.send(.body(Bytes(pattern(1000)), end: false), on: id)
        harness.run()
        harness.send(.reset(reset), on: id)
        harness.send(.body("more", end: true), on: id)
        harness.run()
        #expect(harness.client[id].resetCode == code.rawValue)
        #expect(harness.client[id].body.count == 100)
        #expect(!harness.client[id].isComplete)
        #expect(harness.resets(of: id).isEmpty)
    }

    @Test func `a reset after a complete response does not cut it`() {
        let harness = Harness(window: 100)
        let id = harness.client.request()
        harness.run()
        harness.respond(id, body: Bytes(pattern(300)))
        harness.send(.reset(.internalError), on: id)
        harness.run()
        harness.client.consume(100, on: id)
        harness.run()
        harness.client.consume(100, on: id)
        harness.run()
        #expect(isPattern(harness.client[id].body, 300))
        #expect(harness.client[id].isComplete)
        #expect(harness.client[id].resetCode == nil)
    }

    @Test func `a request that is reset in the same breath starts nothing`() {
        let harness = Harness()
        harness.feed(Wire.preface + Wire.get(1) + Wire.reset(1) + Wire.get(3))
        #expect(harness.requests.count == 1)
        #expect(harness.resets(of: 1).isEmpty)
    }

    @Test func `a reset stream keeps its place until its handler has ended`() {
        var limits = Limits()
        limits.maxConcurrentStreams = 4
        let harness = Harness(limits: limits)
        harness.run()
        let ids = (0..<4).map { _ in harness.client.request() }
        harness.run()
        for id in ids.prefix(2) { harness.client.reset(id) }
        harness.run()
        let refused = harness.client.request()
        harness.run()
        #expect(harness.client[refused].resetCode == NGHTTP2_REFUSED_STREAM.rawValue)
        #expect(harness.requests.count == 4)
        harness.server.applicationEnded(on: StreamID(UInt64(ids[0])))
        harness.application = Applications.hello
        let taken = harness.client.request()
        harness.run()
        #expect(harness.client[taken].status == "200")
        // The place of the second one is still taken, a finished stream's is not.
        for _ in 0..<3 {
            let next = harness.client.request()
            harness.run()
            #expect(harness.client[next].status == "200")
        }
    }

    @Test func `handlers that end before the reset leave no place taken`() {
        var limits = Limits()
        limits.maxConcurrentStreams = 2
        let harness = Harness(limits: limits)
        harness.run()
        for _ in 0..<10 {
            let id = harness.client.request("POST", body: [1], ends: false)
            harness.run()
            harness.server.applicationEnded(on: StreamID(UInt64(id)))
            harness.client.reset(id)
            harness.run()
        }
        #expect(harness.requests.count == 10)
    }

    @Test func `as many resets as allowed pass, one more ends the connection`() {
        let harness = Harness()
        harness.feed(Wire.preface)
        for index in 0..<100 {
            let id = Int32(index * 2 + 1)
            harness.feed(Wire.get(id))
            harness.feed(Wire.reset(id))
            harness.server.applicationEnded(on: StreamID(UInt64(id)))
        }
        #expect(harness.server.connectionError == nil)
        harness.feed(Wire.get(301) + Wire.reset(301))
        #expect(harness.server.connectionError?.kind == .limitExceeded)
        #expect(Wire.goaways(harness.output()) == [NGHTTP2_ENHANCE_YOUR_CALM.rawValue])
        #expect(harness.server.disposition == .close)
    }

    @Test func `the budget of resets fills up again`() {
        let harness = Harness()
        harness.feed(Wire.preface)
        for index in 0..<150 {
            let id = Int32(index * 2 + 1)
            harness.feed(Wire.get(id))
            harness.feed(Wire.reset(id))
            harness.server.applicationEnded(on: StreamID(UInt64(id)))
            harness.now = harness.now + .milliseconds(40)
        }
        #expect(harness.server.connectionError == nil)
    }

    @Test func `a peer that makes us reset streams is told to calm down`() {
        let harness = Harness()
        harness.feed(Wire.preface)
        var output: [UInt8] = []
        for index in 0...100 {
            #expect(harness.server.connectionError == nil)
            let id = Int32(index * 2 + 1)
            // A window that grows past its end is an error of the stream (RFC 9113 §6.9.1).
            harness.feed(Wire.get(id) + Wire.windowUpdate(id, by: 0x7FFF_FFFF))
            output += harness.output()
            harness.server.applicationEnded(on: StreamID(UInt64(id)))
        }
        #expect(Wire.resets(output, of: 1) == [NGHTTP2_FLOW_CONTROL_ERROR.rawValue])
        #expect(harness.resets(of: 1) == [.other(3)])
        #expect(harness.server.connectionError?.kind == .limitExceeded)
        #expect(Wire.goaways(output) == [NGHTTP2_ENHANCE_YOUR_CALM.rawValue])
    }

    @Test func `our own resets do not count against the peer`() {
        let harness = Harness()
        harness.application = { harness, event in
            guard case .request(let id, _) = event else { return }
            harness.server.send(.reset(.internalError), on: id)
            harness.server.applicationEnded(on: id)
        }
        for _ in 0..<300 {
            harness.client.request()
            harness.run()
        }
        #expect(harness.requests.count == 300)
        #expect(harness.server.connectionError == nil)
    }

    @Test func `a response head that is too large resets its stream and no other`() {
        let harness = Harness()
        let ids = (0..<2).map { _ in harness.client.request() }
        harness.run()
        let large = Headers(dictionaryLiteral: ("x-large", String(repeating: "v", count: 70_000)))
        harness.send(.head(ResponseHead(status: 200, headers: large)), on: ids[0])
        harness.send(.body("Hello", end: true), on: ids[0])
        harness.respond(ids[1])
        harness.run()
        #expect(harness.client[ids[0]].resetCode == NGHTTP2_INTERNAL_ERROR.rawValue)
        #expect(harness.resets(of: ids[0]) == [.internalError])
        #expect(harness.client[ids[1]].isComplete)
        #expect(harness.server.connectionError == nil)
    }

    // MARK: - Malformed requests

    @Test(arguments: [("content-length", 4), ("content-length", 6)])
    func `a body that is not as long as declared resets its stream`(name: String, declared: Int) {
        let harness = Harness()
        let fields = Wire.request + [(name, "\(declared)")]
        harness.feed(Wire.preface + Wire.headers(1, fields, ends: false) + Wire.data(1, pattern(5), ends: true))
        harness.feed(Wire.get(3))
        let output = harness.output()
        #expect(Wire.resets(output, of: 1) == [NGHTTP2_PROTOCOL_ERROR.rawValue])
        #expect(harness.resets(of: 1) == [.malformed])
        #expect(!harness.ended(1))
        #expect(harness.ended(3))
        #expect(harness.server.connectionError == nil)
    }

    @Test(arguments: [
        [("connection", "close")], [("Upper", "x")], [("transfer-encoding", "chunked")], [("x", "a\u{0}b")],
        [("x", "a\r\nb")], [("x y", "1")], [("te", "gzip")], [(":path", "/again")], [(":unknown", "1")],
        [("content-length", "x")], [("content-length", "5")], [("content-length", "1"), ("content-length", "2")],
    ]) func `a malformed request resets its stream and no other`(fields: [(String, String)]) {
        let harness = Harness()
        harness.feed(Wire.preface + Wire.headers(1, Wire.request + fields) + Wire.get(3))
        let output = harness.output()
        #expect(Wire.resets(output, of: 1) == [NGHTTP2_PROTOCOL_ERROR.rawValue])
        #expect(harness.requests.count == 1)
        #expect(harness.ended(3))
        #expect(harness.server.connectionError == nil)
    }

    @Test func `a request without an authority is malformed`() {
        let harness = Harness()
        harness.feed(Wire.preface + Wire.headers(1, [(":method", "GET"), (":scheme", "https"), (":path", "/")]))
        #expect(Wire.resets(harness.output(), of: 1) == [NGHTTP2_PROTOCOL_ERROR.rawValue])
        #expect(harness.requests.isEmpty)
    }
}
