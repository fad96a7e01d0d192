import ApusGateway
import ApusHTTP
import ApusHTTP2
import ApusTestClients
import Testing

/// Random conversations of a well-behaved client with an application that does anything, from a seed.
@Suite struct ConversationTests {
    @Test(arguments: 0..<40) func `after any conversation the connection works as on its first day`(seed: UInt64) {
        var conversation = Conversation(seed: seed)
        for _ in 0..<300 { conversation.step() }
        conversation.finish()
        let harness = conversation.harness
        #expect(harness.server.connectionError == nil)
        expectOrder(of: harness.events)
        harness.application = Applications.echo
        let id = harness.client.request("POST", body: pattern(3_000_000))
        harness.run()
        #expect(isPattern(harness.client[id].body, 3_000_000))
        #expect(harness.client[id].isComplete)
    }

    /// One request, then bodies, then one end; nothing after a reset.
    private func expectOrder(of events: [StreamEvent]) {
        var isOpen: [StreamID: Bool] = [:]
        for event in events {
            switch event {
            case .request(let id, _):
                #expect(isOpen.updateValue(true, forKey: id) == nil)
            case .body(let id, let bytes):
                #expect(isOpen[id] == true && !bytes.isEmpty)
            case .end(let id, _):
                #expect(isOpen[id] == true)
            case .reset(let id, _):
                #expect(isOpen.updateValue(false, forKey: id) == true)
            case .writable(let id):
                #expect(isOpen[id] == true)
            }
        }
    }
}

/// Picks what happens next.
private struct Conversation {
    let harness: Harness
    private var generator: Generator
    /// The client's streams, open or not.
    private var requests: [Int32] = []
    private var uploads: Set<Int32> = []
    private var resets: Set<Int32> = []

    init(seed: UInt64) {
        var limits = Limits()
        limits.streamResetBurst = 10_000
        limits.streamSendHighWater = 20_000
        limits.streamSendLowWater = 5000
        harness = Harness(limits: limits)
        generator = Generator(state: seed &* 0x9E37_79B9_7F4A_7C15 | 1)
        harness.run()
    }

    mutating func step() {
        switch Int.random(in: 0..<10, using: &generator) {
        case 0: request()
        case 1, 2: upload()
        case 3: if let id = requests.randomElement(using: &generator), Bool.random(using: &generator) { reset(id) }
        case 4, 5: respond()
        case 6: consume()
        case 7: if let id = requests.randomElement(using: &generator) { end(id) }
        default: exchange()
        }
    }

    private mutating func request() {
        let hasBody = Bool.random(using: &generator)
        let size = Int.random(in: 0..<100_000, using: &generator)
        let id = harness.client.request("POST", body: hasBody ? pattern(size) : nil, ends: !hasBody)
        requests.append(id)
        if hasBody { uploads.insert(id) }
    }

    private mutating func upload() {
        guard let id = uploads.randomElement(using: &generator) else { return }
        let ends = Int.random(in: 0..<4, using: &generator) == 0
        harness.client.send(pattern(Int.random(in: 0..<60_000, using: &generator)), on: id, ends: ends)
        if ends { uploads.remove(id) }
    }

    /// Resets a stream, once: the client would send a second reset of a request that it still holds back.
    private mutating func reset(_ id: Int32) {
        uploads.remove(id)
        guard resets.insert(id).inserted else { return }
        harness.client.reset(id)
    }

    private mutating func respond() {
        guard let id = requests.randomElement(using: &generator) else { return }
        harness.send(.head(ResponseHead(status: 200, headers: ["x": "y"])), on: id)
        let size = Int.random(in: 0..<50_000, using: &generator)
        switch Int.random(in: 0..<8, using: &generator) {
        case 0: harness.send(.trailers(["x-sum": "1"]), on: id)
        case 1: harness.send(.reset(.internalError), on: id)
        case 2, 3: harness.send(.body(Bytes(pattern(size)), end: true), on: id)
        default: harness.send(.body(Bytes(pattern(size)), end: false), on: id)
        }
    }

    private mutating func consume() {
        guard let id = requests.randomElement(using: &generator) else { return }
        harness.server.consumed(Int.random(in: 1..<100_000, using: &generator), on: id)
    }

    /// The handler of a stream ends.
    private func end(_ id: Int32) {
        harness.send(.reset(.internalError), on: id)
        harness.server.applicationEnded(on: StreamID(UInt64(id)))
    }

    /// Carries bytes one way, the other, or both, in reads of any size.
    private mutating func exchange() {
        if Bool.random(using: &generator) {
            var up = harness.client.output()[...]
            while !up.isEmpty {
                let read = up.prefix(Int.random(in: 1...40_000, using: &generator))
                harness.feed(Array(read))
                up = up.dropFirst(read.count)
            }
        }
        if Bool.random(using: &generator) { harness.client.receive(harness.nextOutput()) }
    }

    /// Ends whatever is open, on both sides.
    mutating func finish() {
        harness.run()
        for id in requests { end(id) }
        harness.run()
        for id in requests { reset(id) }
        harness.run()
    }
}

private struct Generator: RandomNumberGenerator {
    var state: UInt64

    /// SplitMix64.
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
        return mixed ^ mixed >> 31
    }
}
