import ApusGateway
import ApusHTTP
import ApusHTTP2
import ApusTestClients
import CNghttp2
import Glibc
import Testing

@Suite struct FlowControlTests {
    // MARK: - Uploads

    @Test(arguments: [0, 1, 65_535, 65_536, 3_000_000]) func `an upload comes back`(size: Int) {
        let harness = Harness()
        harness.application = Applications.echo
        let id = harness.client.request("POST", body: pattern(size))
        harness.run()
        #expect(isPattern(harness.client[id].body, size))
        #expect(harness.client[id].isComplete)
        #expect(harness.client[id].resetCode == nil)
    }

    @Test func `a window stays shut while nobody reads, and opens again`() {
        let harness = Harness()
        harness.run()
        let size = 1_000_000
        let id = harness.client.request("POST", body: pattern(size))
        harness.run()
        #expect(harness.client[id].sentBody == 256 * 1024)
        #expect(harness.body(of: id).count == 256 * 1024)
        harness.run()
        #expect(harness.client[id].sentBody == 256 * 1024)
        // Less than half of the window is no reason for an update.
        harness.server.consumed(1000, on: id)
        harness.run()
        #expect(harness.client[id].sentBody == 256 * 1024)
        var consumed = 1000
        while consumed < size {
            let here = harness.body(of: id).count
            #expect(here - consumed > 0, "stalled at \(here)")
            guard here > consumed else { return }
            harness.server.consumed(min(50_000, here - consumed), on: id)
            consumed += min(50_000, here - consumed)
            harness.run()
            #expect(harness.body(of: id).count - consumed <= 256 * 1024)
        }
        #expect(harness.ended(id))
        #expect(isPattern(harness.body(of: id), size))
    }

    @Test func `the bytes that wait on a connection are bounded`() {
        let harness = Harness()
        harness.run()
        let size = 400_000
        let ids = (0..<20).map { _ in harness.client.request("POST", body: pattern(size)) }
        harness.run()
        let waiting = ids.reduce(0) { $0 + harness.client[$1].sentBody }
        #expect(waiting <= 2 * 1024 * 1024)
        #expect(waiting >= 1024 * 1024)
        // Reading on brings everything.
        var consumed: [Int32: Int] = [:]
        for _ in 0..<200 where !ids.allSatisfy({ harness.ended($0) }) {
            for id in ids {
                let here = harness.body(of: id).count
                harness.server.consumed(here - consumed[id, default: 0], on: id)
                consumed[id] = here
            }
            harness.run()
        }
        #expect(ids.allSatisfy { harness.ended($0) && harness.body(of: $0).count == size })
    }

    @Test func `a slow handler does not stall its siblings`() {
        let harness = Harness()
        let slow = harness.client.request("POST", "/slow", body: pattern(1_000_000))
        harness.run()
        harness.application = { harness, event in
            if case .body(let id, let bytes) = event, id.rawValue != UInt64(slow) {
                harness.server.consumed(bytes.count, on: id)
            }
        }
        let quick = harness.client.request("POST", "/quick", body: pattern(5_000_000))
        harness.run()
        #expect(harness.ended(quick))
        #expect(!harness.ended(slow))
    }

    @Test func `the credit of aborted uploads is returned`() {
        let harness = Harness()
        harness.run()
        for _ in 0..<90 {
            let id = harness.client.request("POST", body: pattern(300_000))
            harness.run()
            #expect(harness.client[id].sentBody >= 256 * 1024)
            harness.client.reset(id)
            harness.run()
            #expect(harness.resets(of: id) == [.cancelled])
            harness.server.applicationEnded(on: StreamID(UInt64(id)))
        }
        harness.application = Applications.echo
        let id = harness.client.request("POST", body: pattern(3_000_000))
        harness.run()
        #expect(harness.client[id].body.count == 3_000_000)
        #expect(harness.client[id].isComplete)
    }

    @Test func `what comes after an early answer is thrown away and credited`() {
        let harness = Harness()
        harness.application = Applications.hello
        harness.run()
        for _ in 0..<50 {
            let id = harness.client.request("POST", body: pattern(250_000), ends: false)
            harness.run()
            #expect(harness.client[id].status == "200")
            #expect(harness.client[id].body == Array("Hello".utf8))
            #expect(harness.client[id].isComplete)
            #expect(harness.client[id].resetCode == NGHTTP2_NO_ERROR.rawValue)
            #expect(harness.resets(of: id).isEmpty)
        }
        harness.application = Applications.echo
        let id = harness.client.request("POST", body: pattern(3_000_000))
        harness.run()
        #expect(harness.client[id].isComplete)
    }

    @Test func `an unread upload does not hold the connection once its response is complete`() {
        let harness = Harness(window: 0)
        harness.run()
        // Twelve unread uploads are more than the connection buffers; none of the answers can be sent.
        let ids = (0..<12).map { _ in harness.client.request("POST", body: pattern(256 * 1024), ends: false) }
        harness.run()
        #expect(ids.reduce(0) { $0 + harness.client[$1].sentBody } < 12 * 256 * 1024)
        for id in ids { harness.respond(id) }
        harness.run()
        #expect(ids.allSatisfy { harness.client[$0].sentBody == 256 * 1024 })
    }

    @Test func `consuming more than came changes nothing`() {
        let harness = Harness()
        harness.run()
        let id = harness.client.request("POST", body: pattern(1_000_000))
        harness.run()
        harness.server.consumed(.max, on: id)
        harness.run()
        #expect(harness.client[id].sentBody == 512 * 1024)
        harness.server.consumed(1, on: 99)
        #expect(harness.server.connectionError == nil)
    }

    // MARK: - Downloads

    @Test func `a download follows the peer's small window`() {
        let harness = Harness(window: 1000)
        let id = harness.client.request()
        harness.run()
        harness.respond(id, body: Bytes(pattern(100_000)))
        harness.run()
        #expect(harness.client[id].body.count == 1000)
        #expect(harness.server.bufferedOutput(on: StreamID(UInt64(id))) == 99_000)
        var received = 1000
        while !harness.client[id].isComplete {
            harness.client.consume(received, on: id)
            let before = harness.client[id].body.count
            harness.run()
            received = harness.client[id].body.count - before
            #expect(received > 0)
            guard received > 0 else { return }
        }
        #expect(isPattern(harness.client[id].body, 100_000))
    }

    @Test func `writable comes once, when the queue has drained`() {
        var limits = Limits()
        limits.streamSendHighWater = 10_000
        limits.streamSendLowWater = 2000
        let harness = Harness(limits: limits, window: 1000)
        let id = harness.client.request()
        harness.run()
        harness.send(.head(ResponseHead(status: 200, headers: [:])), on: id)
        harness.send(.body(Bytes(pattern(10_000)), end: false), on: id)
        harness.run()
        #expect(harness.writables(of: id) == 0)
        harness.send(.body(Bytes(pattern(2000)), end: false), on: id)
        for _ in 0..<20 {
            let left = harness.server.bufferedOutput(on: StreamID(UInt64(id)))
            #expect(harness.writables(of: id) == (left < 2000 ? 1 : 0))
            harness.client.consume(1000, on: id)
            harness.run()
        }
        #expect(harness.writables(of: id) == 1)
        #expect(harness.client[id].body.count == 12_000)
    }

    @Test func `a body in pieces waits for each of them`() {
        let harness = Harness()
        let id = harness.client.request()
        harness.run()
        harness.send(.head(ResponseHead(status: 200, headers: [:])), on: id)
        harness.run()
        #expect(harness.client[id].status == "200")
        var sent: [UInt8] = []
        for size in [1, 1024, 1025, 16_384, 16_385, 100_000] {
            harness.send(.body(Bytes(pattern(size)), end: false), on: id)
            sent += pattern(size)
            harness.run()
            #expect(harness.client[id].body == sent)
            #expect(!harness.client[id].isComplete)
        }
        harness.send(.body(Bytes(), end: true), on: id)
        harness.run()
        #expect(harness.client[id].isComplete)
    }

    @Test func `one call gives a bounded amount`() {
        let harness = Harness()
        let id = harness.client.request()
        harness.run()
        harness.respond(id, body: Bytes(pattern(2_000_000)))
        var total = 0
        while case let output = harness.nextOutput(), !output.isEmpty {
            #expect(output.count <= 256 * 1024 + 16_384 + 9)
            total += output.count
            harness.client.receive(output)
        }
        #expect(total > 2_000_000)
        #expect(isPattern(harness.client[id].body, 2_000_000))
    }

    @Test func `a large body leaves by reference`() {
        let harness = Harness()
        let id = harness.client.request()
        harness.run()
        let body = Bytes(pattern(16_384))
        harness.respond(id, body: body)
        var buffer = OutputBuffer()
        harness.server.nextOutput(into: &buffer, now: harness.now)
        let isShared = buffer.withVectors(limit: 16) { vectors in
            vectors.contains { UnsafeRawPointer($0.iov_base) == body.memory.baseAddress }
        }
        #expect(isShared)
    }

    @Test func `large responses take turns`() {
        let harness = Harness()
        let ids = (0..<2).map { _ in harness.client.request() }
        harness.run()
        for id in ids { harness.respond(id, body: Bytes(pattern(200_000))) }
        harness.run()
        let first = harness.client.dataOrder.prefix(6)
        #expect(Set(first) == Set(ids))
        #expect(ids.allSatisfy { harness.client[$0].isComplete })
    }

    @Test func `a window held shut resets its stream in the end`() {
        let harness = Harness(window: 1000)
        let id = harness.client.request()
        harness.run()
        harness.respond(id, body: Bytes(pattern(5000)))
        harness.run()
        harness.advance(seconds: 40)
        harness.client.consume(1000, on: id)
        harness.run()
        harness.advance(seconds: 40)
        harness.advance(seconds: 19)
        harness.run()
        #expect(harness.client[id].resetCode == nil)
        harness.advance(seconds: 1)
        harness.run()
        #expect(harness.client[id].resetCode == NGHTTP2_CANCEL.rawValue)
        #expect(harness.resets(of: id) == [.cancelled])
        #expect(harness.server.connectionError == nil)
    }

    @Test func `a window held shut before the very end resets its stream as well`() {
        let harness = Harness(window: 1000)
        let id = harness.client.request()
        harness.run()
        harness.send(.head(ResponseHead(status: 200, headers: [:])), on: id)
        harness.send(.body(Bytes(pattern(1000)), end: false), on: id)
        harness.run()
        harness.advance(seconds: 60)
        harness.run()
        harness.send(.body(Bytes(), end: true), on: id)
        harness.run()
        #expect(harness.client[id].resetCode == nil)
        harness.advance(seconds: 60)
        harness.run()
        #expect(harness.client[id].resetCode == NGHTTP2_CANCEL.rawValue)
    }

    @Test func `what waits for us and not for the peer is no stall`() {
        let harness = Harness()
        let id = harness.client.request()
        harness.run()
        harness.respond(id, body: Bytes(pattern(1_000_000)))
        harness.client.receive(harness.nextOutput())
        for _ in 0..<5 { harness.advance(seconds: 50) }
        harness.run()
        #expect(isPattern(harness.client[id].body, 1_000_000))
        #expect(harness.client[id].isComplete)
        #expect(harness.resets(of: id).isEmpty)
    }
}
