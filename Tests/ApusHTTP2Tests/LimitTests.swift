import ApusGateway
import ApusHTTP
import ApusHTTP2
import ApusTestClients
import CNghttp2
import Testing

@Suite struct LimitTests {
    /// Headers of a request, `authority` among them, that have this many fields.
    private func fields(_ count: Int) -> [(String, String)] {
        (1..<count).map { ("x-\($0)", "v") }
    }

    @Test func `as many fields as allowed pass`() {
        let harness = Harness()
        harness.application = Applications.hello
        let id = harness.client.request("GET", "/", fields(500))
        harness.run()
        #expect(harness.requests.first?.headers.count == 500)
        #expect(harness.client[id].status == "200")
    }

    @Test func `one field more is answered with 431`() {
        let harness = Harness()
        harness.application = Applications.hello
        let id = harness.client.request("GET", "/", fields(501))
        let next = harness.client.request("GET", "/", fields(2))
        harness.run()
        #expect(harness.client[id].status == "431")
        #expect(harness.client[id].body == Array("431 Request Header Fields Too Large\n".utf8))
        #expect(harness.client[id].isComplete)
        // The compression state went on in step.
        #expect(harness.requests.map(\.headers) == [["host": "example.org", "x-1": "v"]])
        #expect(harness.client[next].status == "200")
    }

    /// A request whose fields have this size by RFC 9113 §6.5.2.
    private func sized(_ size: Int) -> [(String, String)] {
        let pseudo = [(":method", "GET"), (":scheme", "https"), (":authority", "a"), (":path", "/")]
        let used = pseudo.reduce(0) { $0 + $1.0.utf8.count + $1.1.utf8.count + 32 } + 32 + 1
        return pseudo + [("x", String(repeating: "v", count: size - used))]
    }

    @Test func `fields as large as allowed pass`() {
        let harness = Harness()
        harness.application = Applications.hello
        let id = harness.client.request(fields: sized(32 * 1024))
        harness.run()
        #expect(harness.client[id].status == "200")
    }

    @Test(arguments: [32 * 1024 + 1, 60_000]) func `larger fields are answered with 431`(size: Int) {
        let harness = Harness()
        harness.application = Applications.hello
        let id = harness.client.request(fields: sized(size))
        harness.run()
        #expect(harness.client[id].status == "431")
        #expect(harness.requests.isEmpty)
    }

    @Test func `as many streams as allowed are open at once`() {
        var limits = Limits()
        limits.maxConcurrentStreams = 4
        let harness = Harness(limits: limits)
        harness.feed(Wire.preface + [1, 3, 5, 7].flatMap { Wire.get($0) })
        #expect(harness.requests.count == 4)
        harness.feed(Wire.get(9))
        #expect(Wire.resets(harness.output(), of: 9) == [NGHTTP2_REFUSED_STREAM.rawValue])
        #expect(harness.requests.count == 4)
        harness.respond(1)
        _ = harness.output()
        harness.feed(Wire.get(11))
        #expect(harness.requests.count == 5)
        #expect(harness.server.connectionError == nil)
    }

    @Test func `a client that does not know the limit yet is refused and forgiven`() {
        let harness = Harness()
        harness.feed(Wire.preface + (0..<300).flatMap { Wire.get($0 * 2 + 1) })
        let output = harness.output()
        #expect(harness.requests.count == 100)
        #expect(Wire.parse(output).count { $0.type == 3 } == 200)
        #expect(harness.server.connectionError == nil)
    }

    @Test func `a long target is answered with 414`() {
        let harness = Harness()
        harness.application = Applications.hello
        let fits = harness.client.request("GET", "/" + String(repeating: "a", count: 16 * 1024 - 1))
        let tooLong = harness.client.request("GET", "/" + String(repeating: "a", count: 16 * 1024))
        harness.run()
        #expect(harness.client[fits].status == "200")
        #expect(harness.client[tooLong].status == "414")
    }

    @Test func `an upload that is refused ends with its answer`() {
        let harness = Harness()
        let id = harness.client.request("POST", "/", fields(501), body: pattern(10), ends: false)
        harness.run()
        #expect(harness.client[id].status == "431")
        #expect(harness.client[id].isComplete)
        #expect(harness.client[id].resetCode == NGHTTP2_NO_ERROR.rawValue)
        #expect(harness.events.isEmpty)
    }

    @Test func `a refused HEAD has no body`() {
        let harness = Harness()
        let id = harness.client.request("HEAD", "/", fields(501))
        harness.run()
        #expect(harness.client[id].status == "431")
        #expect(harness.client.dataFrames == 0)
    }

    @Test func `trailers count as well`() {
        let harness = Harness()
        let id = harness.client.request("POST", body: pattern(10), ends: false)
        let other = harness.client.request("POST", body: pattern(10), ends: false)
        harness.run()
        harness.client.sendTrailers(fields(501), on: id)
        harness.client.sendTrailers(fields(502), on: other)
        harness.run()
        #expect(harness.trailers(of: id)?.count == 500)
        #expect(harness.resets(of: other) == [.excessiveLoad])
        #expect(harness.client[other].status == "431")
    }

    @Test func `trailers that are too many reset a response under way`() {
        let harness = Harness()
        harness.application = Applications.echo
        let id = harness.client.request("POST", body: pattern(10), ends: false)
        harness.run()
        harness.client.sendTrailers(fields(502), on: id)
        harness.run()
        #expect(harness.resets(of: id) == [.excessiveLoad])
        #expect(harness.client[id].resetCode == NGHTTP2_ENHANCE_YOUR_CALM.rawValue)
    }

    @Test(arguments: [8, 60]) func `a block of references is answered with 431`(count: Int) {
        let harness = Harness()
        harness.feed(references(count))
        let frames = Wire.parse(harness.output())
        #expect(harness.requests.count == 0)
        #expect(frames.contains { $0.type == 0 && String(decoding: $0.payload, as: UTF8.self).hasPrefix("431") })
    }

    @Test func `a bomb of references is not decoded to its end`() {
        let harness = Harness()
        harness.application = Applications.hello
        harness.feed(references(12_000) + Wire.headers(3, Wire.request))
        let output = harness.output()
        #expect(Wire.resets(output, of: 1) == [NGHTTP2_INTERNAL_ERROR.rawValue])
        #expect(harness.requests.count == 1)
        #expect(harness.server.connectionError == nil)
    }

    /// A request with one field of 3900 bytes in the dynamic table, and so many references to it of a byte each.
    private func references(_ count: Int) -> [UInt8] {
        let value = [UInt8](repeating: 0x61, count: 3900)
        let entry = [UInt8]([0x40, 1, 0x78, 127, UInt8((3900 - 127) & 0x7F | 0x80), UInt8((3900 - 127) >> 7)]) + value
        let block = Wire.block(Wire.request) + entry + [UInt8](repeating: 0xBE, count: count)
        return Wire.preface + Wire.frame(type: 1, flags: 5, stream: 1, block)
    }

    @Test func `CONNECT is not implemented`() {
        let harness = Harness()
        let id = harness.client.request(fields: [(":method", "CONNECT"), (":authority", "example.org:443")])
        harness.run()
        #expect(harness.client[id].status == "501")
        #expect(harness.requests.isEmpty)
    }

    @Test func `a host that differs from the authority is a bad request`() {
        let harness = Harness()
        let id = harness.client.request("GET", "/", [("host", "example.com")])
        harness.run()
        #expect(harness.client[id].status == "400")
        #expect(harness.requests.isEmpty)
    }

    @Test(arguments: ["a", "*", "http://example.org/"]) func `a target that is no path is a bad request`(target: String)
    {
        let harness = Harness()
        harness.feed(
            Wire.preface
                + Wire.headers(
                    1,
                    [(":method", "GET"), (":scheme", "other"), (":authority", "example.org"), (":path", target)]
                )
        )
        let frames = Wire.parse(harness.output())
        #expect(frames.contains { String(decoding: $0.payload, as: UTF8.self) == "400 Bad Request\n" })
        #expect(harness.requests.isEmpty)
    }
}
