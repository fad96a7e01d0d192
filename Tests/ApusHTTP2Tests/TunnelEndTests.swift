import ApusGateway
import ApusHTTP
import ApusHTTP2
import ApusTestClients
import Testing

@Suite struct TunnelEndTests {
    @Test func `the peer's end leaves ours open`() {
        let harness = Tunnel.serving()
        let id = Tunnel.open(harness)
        harness.client.send([1], on: id, ends: true)
        harness.run()
        #expect(harness.body(of: id) == [1])
        #expect(harness.ended(id))
        harness.send(.body("more", end: false), on: id)
        harness.run()
        harness.send(.body("", end: true), on: id)
        harness.run()
        #expect(harness.client[id].body == Array("more".utf8))
        #expect(harness.client[id].isComplete)
        #expect(harness.client[id].resetCode == nil)
        #expect(harness.resets(of: id).isEmpty)
    }

    @Test func `our end leaves the peer's open`() {
        let harness = Tunnel.serving()
        let id = Tunnel.open(harness)
        harness.send(.body("bye", end: true), on: id)
        harness.run()
        #expect(harness.client[id].body == Array("bye".utf8))
        #expect(harness.client[id].isComplete)
        // RFC 9113 §8.1 tells other peers here that the rest is not needed.
        #expect(harness.client[id].resetCode == nil)
        harness.client.send([1, 2], on: id)
        harness.run()
        #expect(!harness.ended(id))
        harness.client.send([3], on: id, ends: true)
        harness.run()
        #expect(harness.ended(id))
        #expect(harness.body(of: id).isEmpty)
        #expect(harness.client[id].resetCode == nil)
        #expect(harness.resets(of: id).isEmpty)
    }

    @Test(arguments: [10, 100_000])
    func `a peer that does not end its side is reset when its time is up`(size: Int) {
        let harness = Tunnel.serving(window: 1000)
        let id = Tunnel.open(harness)
        harness.send(.body(Bytes(pattern(size)), end: true), on: id)
        harness.run()
        #expect(harness.client[id].isComplete == (size < 1000))
        harness.send(.reset(.cancelled), on: id)
        harness.run()
        #expect(harness.client[id].resetCode == 8)
        #expect(harness.resets(of: id).isEmpty)
        #expect(harness.server.bufferedOutput(on: StreamID(UInt64(id))) == 0)
    }

    @Test func `a reset of ours is a CANCEL`() {
        let harness = Tunnel.serving()
        let id = Tunnel.open(harness)
        harness.send(.body("a", end: false), on: id)
        harness.send(.reset(.cancelled), on: id)
        harness.run()
        // RFC 8441 §5: what a reset is to a TCP connection.
        #expect(harness.client[id].resetCode == 8)
        #expect(harness.resets(of: id).isEmpty)
        #expect(harness.server.connectionError == nil)
    }

    @Test(arguments: [true, false])
    func `a reset of the peer's is told behind its last bytes`(weEnded: Bool) {
        let harness = Harness(webSockets: true)
        harness.feed(Wire.preface + Wire.headers(1, Tunnel.fields, ends: false))
        harness.send(Tunnel.accept, on: 1)
        if weEnded { harness.send(.body("bye", end: true), on: 1) }
        _ = harness.output()
        harness.feed(Wire.data(1, [1, 2, 3]) + Wire.reset(1))
        #expect(harness.body(of: 1) == (weEnded ? [] : [1, 2, 3]))
        #expect(harness.resets(of: 1) == [.cancelled])
        #expect(!harness.ended(1))
    }

    @Test func `a peer may end its side with its request`() {
        let harness = Tunnel.serving()
        let id = Tunnel.ask(harness, ends: true)
        #expect(harness.requests.map(\.hasBody) == [true])
        #expect(harness.ended(id))
        harness.send(Tunnel.accept, on: id)
        harness.send(.body("hello", end: true), on: id)
        harness.run()
        #expect(harness.client[id].body == Array("hello".utf8))
        #expect(harness.client[id].isComplete)
        #expect(harness.client[id].resetCode == nil)
        #expect(harness.resets(of: id).isEmpty)
    }

    @Test func `a WebSocket keeps its place until its handler has ended`() {
        var limits = Limits()
        limits.maxConcurrentStreams = 2
        let harness = Tunnel.serving(limits)
        var ids: [Int32] = []
        for _ in 0..<2 {
            let id = Tunnel.open(harness)
            harness.client.send([1], on: id, ends: true)
            harness.send(.body("bye", end: true), on: id)
            harness.run()
            #expect(harness.client[id].isComplete)
            ids.append(id)
        }
        let refused = Tunnel.ask(harness)
        #expect(harness.client[refused].resetCode == 7)
        #expect(harness.requests.count == 2)
        for id in ids { harness.server.applicationEnded(on: StreamID(UInt64(id))) }
        _ = Tunnel.ask(harness)
        #expect(harness.requests.count == 3)
    }

    @Test func `fields have no place in a tunnel`() {
        let harness = Tunnel.serving()
        let id = Tunnel.open(harness)
        harness.client.sendTrailers([("x", "y")], on: id)
        harness.run()
        #expect(harness.client[id].resetCode == 1)
        #expect(harness.resets(of: id) == [.malformed])
        #expect(!harness.ended(id))
    }

    @Test func `the end of the connection is told`() {
        let harness = Tunnel.serving()
        let id = Tunnel.open(harness)
        harness.server.receiveEnd(now: harness.now)
        harness.drain()
        #expect(harness.resets(of: id) == [.connectionLost])
    }

    // MARK: - Time

    @Test func `a silent WebSocket is waited for`() {
        let harness = Tunnel.serving()
        let id = Tunnel.open(harness)
        for _ in 0..<10 {
            harness.advance(seconds: 1000)
            harness.run()
        }
        harness.client.send([1], on: id)
        harness.send(.body("a", end: false), on: id)
        harness.run()
        #expect(harness.body(of: id) == [1])
        #expect(harness.client[id].body == [0x61])
        #expect(harness.client.goaways.isEmpty)
        #expect(harness.resets(of: id).isEmpty)
    }

    @Test func `a WebSocket whose peer takes nothing for too long is reset`() {
        let harness = Tunnel.serving(window: 1000)
        let id = Tunnel.open(harness)
        harness.send(.body(Bytes(pattern(2000)), end: false), on: id)
        harness.run()
        for _ in 0..<3 {
            harness.advance(seconds: 60)
            harness.run()
        }
        #expect(harness.client[id].resetCode == 8)
        #expect(harness.resets(of: id) == [.cancelled])
    }

    @Test func `a shutdown waits for a WebSocket's end`() {
        let harness = Tunnel.serving()
        let id = Tunnel.open(harness)
        harness.server.shutdown(now: harness.now)
        harness.run()
        harness.advance(seconds: 2)
        harness.run()
        #expect(harness.client.goaways.count == 2)
        #expect(harness.server.disposition == .open)
        harness.client.send([1], on: id)
        harness.run()
        #expect(harness.body(of: id) == [1])
        harness.send(.body("bye", end: true), on: id)
        harness.run()
        #expect(harness.client[id].isComplete)
        #expect(harness.server.disposition == .open)
        harness.client.send([], on: id, ends: true)
        harness.run()
        #expect(harness.ended(id))
        #expect(harness.server.disposition == .close)
    }
}
