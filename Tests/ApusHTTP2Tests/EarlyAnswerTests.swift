import ApusGateway
import ApusHTTP
import ApusHTTP2
import CNghttp2
import Testing

@Suite struct EarlyAnswerTests {
    private static let window = 32 * 1024
    private static let drained = 64 * 1024

    private static var limits: Limits {
        var limits = Limits()
        limits.streamReceiveWindow = window
        limits.maxDrainedBodySize = drained
        return limits
    }

    /// A raw client whose request is answered and goes on.
    private func answered(_ limits: Limits = Limits()) -> Harness {
        let harness = Harness(limits: limits)
        harness.feed(Wire.preface + Wire.get(1, ends: false))
        harness.respond(1)
        #expect(Wire.resets(harness.output(), of: 1).isEmpty)
        return harness
    }

    @Test(arguments: [0, 1]) func `an upload within the limit ends by itself, a larger one is stopped`(excess: Int) {
        let harness = Harness(limits: Self.limits)
        harness.application = Applications.hello
        harness.run()
        let id = harness.client.request("POST", body: pattern(Self.window + Self.drained + excess))
        harness.run()
        #expect(harness.client[id].status == "200")
        #expect(harness.client[id].isComplete)
        #expect(harness.client[id].sentBody == Self.window + Self.drained)
        harness.advance(seconds: 0.999)
        harness.run()
        #expect(harness.client[id].resetCode == nil)
        harness.advance(seconds: 0.001)
        harness.run()
        #expect(harness.client[id].resetCode == (excess == 0 ? nil : NGHTTP2_NO_ERROR.rawValue))
        #expect(harness.client[id].sentBody == Self.window + Self.drained)
        #expect(harness.resets(of: id).isEmpty)
    }

    @Test func `what the application has left unread counts as thrown away`() {
        let harness = Harness(limits: Self.limits)
        harness.run()
        let id = harness.client.request("POST", body: pattern(Self.window + Self.drained + 1))
        harness.run()
        #expect(harness.client[id].sentBody == Self.window)
        harness.respond(id)
        harness.run()
        #expect(harness.client[id].sentBody == Self.window + Self.drained)
        // Late words about it open nothing.
        harness.server.consumed(Self.window, on: id)
        harness.run()
        #expect(harness.client[id].sentBody == Self.window + Self.drained)
    }

    @Test func `the window opens before the response ends, and once`() {
        let harness = Harness(limits: Self.limits)
        harness.feed(Wire.preface + Wire.get(1, ends: false))
        _ = harness.output()
        harness.feed(Wire.data(1, pattern(16_384)))
        harness.respond(1)
        let frames = Wire.parse(harness.output()).filter { $0.stream == 1 }
        #expect(frames.map(\.type) == [1, 8, 0] || frames.map(\.type) == [8, 1, 0])
        #expect(frames.first { $0.type == 8 }?.payload == Wire.bigEndian(UInt32(Self.drained)))
        harness.feed(Wire.data(1, pattern(16_384)) + Wire.data(1, pattern(16_384)))
        #expect(!Wire.parse(harness.output()).contains { $0.stream == 1 })
    }

    @Test(arguments: [0, Int.max]) func `any limit can be kept`(drained: Int) {
        var limits = Self.limits
        limits.maxDrainedBodySize = drained
        let harness = Harness(limits: limits)
        harness.application = Applications.hello
        harness.run()
        let id = harness.client.request("POST", body: pattern(500_000))
        harness.run()
        #expect(harness.client[id].isComplete)
        #expect(harness.client[id].sentBody == (drained == 0 ? Self.window : 500_000))
        #expect(harness.server.connectionError == nil)
    }

    @Test func `a request that is complete needs no room`() {
        let harness = Harness()
        harness.feed(Wire.preface + Wire.get(1))
        _ = harness.output()
        harness.respond(1)
        #expect(!Wire.parse(harness.output()).contains { $0.type == 8 })
    }

    @Test(arguments: [0.25, 1, 3]) func `the reset waits for the patience`(patience: Double) {
        var limits = Limits()
        limits.earlyAnswerPatience = patience
        let harness = answered(limits)
        harness.advance(seconds: patience - 0.001)
        #expect(harness.output().isEmpty)
        harness.advance(seconds: 0.001)
        #expect(Wire.resets(harness.output(), of: 1) == [NGHTTP2_NO_ERROR.rawValue])
        harness.advance(seconds: patience)
        #expect(harness.output().isEmpty)
    }

    @Test func `every stream has its own time`() {
        let harness = answered()
        harness.advance(seconds: 0.5)
        harness.feed(Wire.get(3, ends: false))
        harness.respond(3)
        _ = harness.output()
        harness.advance(seconds: 0.5)
        #expect(Wire.parse(harness.output()).map(\.stream) == [1])
        harness.advance(seconds: 0.499)
        #expect(harness.output().isEmpty)
        harness.advance(seconds: 0.001)
        #expect(Wire.parse(harness.output()).map(\.stream) == [3])
    }

    @Test(arguments: [Wire.data(1, [1, 2, 3], ends: true), Wire.reset(1)])
    func `a stream that the client ends meanwhile is not reset`(end: [UInt8]) {
        let harness = answered()
        harness.advance(seconds: 0.5)
        harness.feed(end)
        harness.advance(seconds: 0.5)
        harness.advance(seconds: 10)
        #expect(Wire.resets(harness.output(), of: 1).isEmpty)
        #expect(harness.resets(of: 1).isEmpty)
        #expect(harness.server.connectionError == nil)
    }

    @Test func `an answered stream keeps its place until its request is over`() {
        var limits = Limits()
        limits.maxConcurrentStreams = 2
        let harness = answered(limits)
        harness.feed(Wire.get(3, ends: false))
        harness.respond(3)
        _ = harness.output()
        harness.feed(Wire.get(5))
        #expect(Wire.resets(harness.output(), of: 5) == [NGHTTP2_REFUSED_STREAM.rawValue])
        harness.advance(seconds: 1)
        _ = harness.output()
        harness.feed(Wire.get(7))
        #expect(harness.requests.count == 3)
        #expect(harness.server.connectionError == nil)
    }

    @Test func `a shutdown waits for the patience and no longer`() {
        let harness = answered()
        harness.server.shutdown(now: harness.now)
        _ = harness.output()
        harness.advance(seconds: 0.999)
        _ = harness.output()
        #expect(harness.server.disposition == .open)
        harness.advance(seconds: 0.001)
        #expect(Wire.resets(harness.output(), of: 1) == [NGHTTP2_NO_ERROR.rawValue])
        #expect(harness.server.disposition == .close)
        #expect(harness.server.connectionError == nil)
    }

    @Test func `a shutdown is over when the last such request ends`() {
        let harness = answered()
        harness.server.shutdown(now: harness.now)
        _ = harness.output()
        // The client's answer to our PING brings the second GOAWAY.
        harness.feed(Wire.frame(type: 6, flags: 1, stream: 0, [UInt8](repeating: 0, count: 8)))
        _ = harness.output()
        #expect(harness.server.disposition == .open)
        harness.feed(Wire.data(1, [], ends: true))
        _ = harness.output()
        #expect(harness.server.disposition == .close)
    }
}
