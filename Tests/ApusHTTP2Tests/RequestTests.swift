import ApusGateway
import ApusHTTP
import ApusHTTP2
import ApusTestClients
import Testing

@Suite struct RequestTests {
    @Test func `a request and its response pass`() throws {
        let harness = Harness()
        harness.application = Applications.hello
        let id = harness.client.request("GET", "/a?b=c", [("user-agent", "test"), ("te", "trailers")])
        harness.run()
        let head = try #require(harness.requests.first)
        #expect(head.method == "GET")
        #expect(head.target == "/a?b=c")
        #expect(head.scheme == "https")
        #expect(head.version == .http2)
        #expect(head.headers == ["host": "example.org", "user-agent": "test", "te": "trailers"])
        #expect(!head.hasBody)
        #expect(head.acceptsTrailers)
        #expect(harness.ended(id))
        #expect(harness.client[id].status == "200")
        #expect(harness.client[id].headers == ["content-type: text/plain"])
        #expect(harness.client[id].body == Array("Hello".utf8))
        #expect(harness.client[id].isComplete)
        #expect(harness.client[id].resetCode == nil)
        #expect(harness.resets(of: id).isEmpty)
        #expect(harness.server.disposition == .open)
    }

    @Test func `the server's own fields follow the application's, in lower case`() {
        let harness = Harness()
        let id = harness.client.request()
        harness.run()
        let head = ResponseHead(status: 404, headers: ["X-One": "1"], defaults: ["server": "apus"], endsStream: true)
        harness.send(.head(head), on: id)
        harness.run()
        #expect(harness.client[id].status == "404")
        #expect(harness.client[id].headers == ["x-one: 1", "server: apus"])
        #expect(harness.client[id].isComplete)
        #expect(harness.client.dataFrames == 0)
    }

    @Test func `the connection says the scheme, whatever the client claims`() {
        let harness = Harness(secure: false)
        harness.client.request()
        harness.run()
        #expect(harness.requests.first?.scheme == "http")
    }

    @Test func `a host without an authority stands first`() {
        let harness = Harness()
        harness.client.request(fields: [
            (":method", "GET"), (":scheme", "https"), (":path", "/"), ("accept", "*/*"), ("host", "example.org"),
        ])
        harness.run()
        #expect(harness.requests.first?.headers == ["host": "example.org", "accept": "*/*"])
    }

    @Test func `a host that repeats the authority is dropped`() {
        let harness = Harness()
        harness.client.request("GET", "/", [("host", "EXAMPLE.org")])
        harness.run()
        #expect(harness.requests.first?.headers == ["host": "example.org"])
    }

    @Test func `crumbs of a cookie stay as they came`() {
        let harness = Harness()
        harness.client.request("GET", "/", [("cookie", "a=1"), ("cookie", "b=2")])
        harness.run()
        #expect(harness.requests.first?.headers == ["host": "example.org", "cookie": "a=1", "cookie": "b=2"])
    }

    @Test func `the head of an upload tells what is known of it`() throws {
        let harness = Harness()
        harness.client.request("POST", "/", [("content-length", "3"), ("expect", "100-continue")], body: [1, 2, 3])
        harness.run()
        let head = try #require(harness.requests.first)
        #expect(head.hasBody)
        #expect(head.contentLength == 3)
        #expect(head.expectsContinue)
    }

    @Test func `the asterisk form belongs to OPTIONS`() {
        let harness = Harness()
        harness.application = Applications.hello
        let id = harness.client.request("OPTIONS", "*")
        harness.run()
        #expect(harness.requests.first?.target == "*")
        #expect(harness.client[id].status == "200")
    }

    @Test func `a body and its trailers come back`() {
        let harness = Harness()
        harness.application = Applications.echo
        let id = harness.client.request("POST", "/", [("te", "trailers")], body: pattern(1000), ends: false)
        harness.run()
        harness.client.sendTrailers([("x-sum", "42")], on: id)
        harness.run()
        #expect(harness.trailers(of: id) == ["x-sum": "42"])
        #expect(isPattern(harness.client[id].body, 1000))
        #expect(harness.client[id].trailers == ["x-sum: 42"])
        #expect(harness.client[id].isComplete)
    }

    @Test func `trailers follow a response without a body`() {
        let harness = Harness()
        let id = harness.client.request()
        harness.run()
        harness.send(.head(ResponseHead(status: 200, headers: [:], trailersFollow: true)), on: id)
        harness.run()
        harness.send(.trailers(["grpc-status": "0"]), on: id)
        harness.run()
        #expect(harness.client[id].trailers == ["grpc-status: 0"])
        #expect(harness.client[id].isComplete)
        #expect(harness.client.dataFrames == 0)
    }

    @Test func `early hints come before the response`() {
        let harness = Harness()
        let id = harness.client.request()
        harness.run()
        harness.send(.informational(status: 103, ["link": "</a.css>; rel=preload"]), on: id)
        harness.run()
        #expect(harness.client[id].informational == [[":status: 103", "link: </a.css>; rel=preload"]])
        #expect(harness.client[id].status == nil)
        harness.send(.informational(status: 103, ["link": "</b.css>; rel=preload"]), on: id)
        harness.respond(id)
        harness.run()
        #expect(harness.client[id].informational.count == 2)
        #expect(harness.client[id].status == "200")
        #expect(harness.client[id].isComplete)
    }

    @Test(arguments: [("HEAD", 200), ("GET", 204), ("GET", 304)])
    func `a response without a body has no DATA frame`(method: String, status: Int) {
        let harness = Harness()
        let id = harness.client.request(method)
        harness.run()
        harness.send(.head(ResponseHead(status: status, headers: [:], endsStream: true)), on: id)
        harness.run()
        #expect(harness.client[id].status == "\(status)")
        #expect(harness.client[id].isComplete)
        #expect(harness.client.dataFrames == 0)
    }

    @Test func `many requests at once are answered`() {
        let harness = Harness()
        harness.application = Applications.hello
        harness.run()
        for _ in 0..<30 {
            let ids = (0..<100).map { _ in harness.client.request() }
            harness.run()
            #expect(ids.allSatisfy { harness.client[$0].isComplete && harness.client[$0].status == "200" })
        }
        #expect(harness.requests.count == 3000)
    }

    @Test func `the limits are announced`() {
        var limits = Limits()
        limits.maxConcurrentStreams = 7
        limits.streamReceiveWindow = 70_000
        let harness = Harness(limits: limits)
        harness.run()
        #expect(harness.client.settings == [3: 7, 4: 70_000, 6: 32 * 1024, 9: 1])
    }

    @Test func `input may be cut anywhere`() {
        let bytes =
            Wire.preface + Wire.headers(1, Wire.request + [("accept", "*/*")])
            + Wire.get(3, ends: false) + Wire.data(3, pattern(50)) + Wire.data(3, pattern(20))
            + Wire.headers(3, [("x-sum", "1")]) + Wire.get(5, ends: false) + Wire.reset(5)
            + Wire.ping() + Wire.get(7)
        for cut in 0...bytes.count {
            let harness = Harness()
            harness.application = Applications.echo
            harness.feed(Array(bytes[..<cut]))
            harness.feed(Array(bytes[cut...]))
            let output = harness.output()
            #expect(harness.body(of: 3) == pattern(50) + pattern(20), "cut at \(cut)")
            #expect(harness.trailers(of: 3) == ["x-sum": "1"], "cut at \(cut)")
            #expect(harness.ended(1) && harness.ended(7), "cut at \(cut)")
            #expect(harness.server.connectionError == nil)
            let ends = Wire.parse(output).filter { $0.type <= 1 && $0.flags & 1 == 1 }.map(\.stream)
            #expect(Set(ends) == [1, 3, 7], "cut at \(cut)")
        }
    }

    @Test func `input may come byte by byte`() {
        let harness = Harness()
        harness.application = Applications.hello
        for byte in Wire.preface + Wire.get(1) { harness.feed([byte]) }
        #expect(harness.requests.count == 1)
        #expect(Wire.parse(harness.output()).contains { $0.type == 0 && $0.payload == Array("Hello".utf8) })
    }
}
