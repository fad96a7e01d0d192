import ApusGateway
import ApusHTTP
import ApusTestClients
import CNghttp3
import CNgtcp2
import Testing

@testable import ApusHTTP3

/// Whose a datagram is, with several workers behind one address.
@Suite struct SteeringTests {
    private func established(_ cluster: Cluster, _ options: HTTP3Client.Options = .init()) -> HTTP3Client {
        let client = cluster.connect(options)
        let id = client.request()
        #expect(cluster.run { client.responses[id]?.ended == true })
        return client
    }

    /// Nobody has answered for another worker's connection.
    private func expectNoAnswers(_ cluster: Cluster) {
        for worker in cluster.workers.values { #expect(worker.answers.isEmpty) }
        #expect(cluster.clients.allSatisfy { !$0.receivedStatelessReset })
        #expect(cluster.lost == 0)
    }

    // MARK: To the wrong worker

    @Test(arguments: Cluster.Delivery.allCases, [8, 18, 19, 20])
    func `transfers complete however the kernel delivers`(delivery: Cluster.Delivery, idLength: Int) throws {
        let cluster = try Cluster(slots: 4, delivery: delivery)
        cluster.handler = { $0.echo($1) }
        var options = HTTP3Client.Options()
        options.destinationLength = idLength
        let content = [UInt8](repeating: 7, count: 50_000)
        for _ in 0..<8 {
            let client = cluster.connect(options)
            client.request("POST", "/", upload: .init(pieces: content))
        }
        #expect(cluster.run { cluster.clients.allSatisfy { $0.responses[0]?.ended == true } })
        #expect(cluster.clients.allSatisfy { $0.responses[0]?.body == content })
        #expect(cluster.workers.values.reduce(0) { $0 + $1.accepted } == 8)
        expectNoAnswers(cluster)
        switch delivery {
        // The filter takes a client's ID of our length for ours; the worker knows better, by the MAC.
        case .steered: #expect(idLength == 19 || cluster.forwarded == 0)
        case .chance, .wrong: #expect(cluster.forwarded > 100)
        }
    }

    @Test(arguments: Cluster.Delivery.allCases)
    func `clients that migrate and clients whose NAT rebinds lose nothing`(delivery: Cluster.Delivery) throws {
        let cluster = try Cluster(slots: 4, delivery: delivery)
        let clients = (0..<6).map { _ in established(cluster) }
        for round in 0..<8 {
            for (index, client) in clients.enumerated() {
                let port = UInt16(30000 + round * 100 + index)
                if index.isMultiple(of: 2) {
                    cluster.rebind(client, to: port)
                } else {
                    client.migrate(to: SocketAddress(literal: "10.0.1.7", port: port)!, now: cluster.now)
                }
                client.request()
            }
            cluster.run(for: 1)
        }
        #expect(cluster.run { clients.allSatisfy { $0.responses.values.allSatisfy(\.ended) } })
        #expect(clients.allSatisfy { $0.responses.count == 9 && !$0.isOver })
        expectNoAnswers(cluster)
    }

    @Test func `an owner gets its datagram exactly once`() throws {
        let cluster = try Cluster(slots: 4, delivery: .wrong)
        let client = established(cluster)
        let owner = try #require(cluster.owner(of: client))
        var sent: [[UInt8]] = []
        cluster.network.intercept = { bytes, _ in
            sent.append(bytes)
            return nil
        }
        client.request()
        cluster.run(for: 0.1)
        let packet = try #require(sent.first)
        for slot in 0..<4 where slot != owner {
            let worker = cluster[slot]
            #expect(cluster.receive(packet, from: client.local, at: worker, isForwarded: false) == owner)
            // Whoever sent it here was wrong; it is not sent on.
            let dropped = worker.endpoint.droppedDatagrams
            #expect(cluster.receive(packet, from: client.local, at: worker, isForwarded: true) == nil)
            #expect(worker.endpoint.droppedDatagrams == dropped + 1)
        }
    }

    // MARK: Newcomers

    @Test func `newcomers go to the slot that the filter computes`() throws {
        let cluster = try Cluster(slots: 6)
        var generator = SeededGenerator(seed: 3)
        for newcomers in [[0, 1, 2, 3, 4, 5], [4, 1], [3], [5, 0, 2]] {
            cluster.setNewcomers(newcomers)
            for _ in 0..<200 {
                var bytes = (0..<10).map { _ in UInt8.random(in: 0...255, using: &generator) }
                bytes[0] |= 0x80
                bytes[5] = 18
                let routing = cluster[0].endpoint.routing
                let slot = bytes.withUnsafeBytes { routing.newcomerSlot(of: $0, among: newcomers) }
                #expect(slot == cluster.steeredSlot(bytes))
                #expect(bytes.dropLast().withUnsafeBytes { routing.newcomerSlot(of: $0, among: newcomers) } == nil)
                #expect(bytes.withUnsafeBytes { routing.newcomerSlot(of: $0, among: []) } == nil)
            }
        }
    }

    @Test func `without a list of newcomers everybody is ours`() throws {
        let cluster = try Cluster(slots: 4, delivery: .wrong)
        for worker in cluster.workers.values { worker.endpoint.newcomers = [] }
        for _ in 0..<8 { _ = established(cluster) }
        #expect(cluster.workers.values.reduce(0) { $0 + $1.accepted } >= 8)
    }

    @Test(arguments: [false, true], [false, true])
    func `a switch of newcomers in the middle of a ClientHello loses nobody`(
        firstHalfOnly: Bool,
        drains: Bool
    ) throws {
        var options = HTTP3Client.Options()
        options.helloPadding = 1500
        for _ in 0..<10 {
            let cluster = try Cluster(slots: 4)
            cluster.setNewcomers([0, 1])
            let client = cluster.connect(options)
            let id = client.request()
            let hello = client.packets(now: cluster.now)
            #expect(hello.count == 2)
            // One half arrives before the switch, the other one after it.
            let early = hello[firstHalfOnly ? 0 : 1]
            let old = cluster[cluster.steeredSlot(early)]
            #expect(cluster.receive(early, from: client.local, at: old, isForwarded: false) == nil)
            cluster.setNewcomers([2, 3])
            if drains { old.endpoint.shutdown(now: cluster.now) }
            let late = hello[firstHalfOnly ? 1 : 0]
            cluster.network.send(late, from: client.local, to: Cluster.serverAddress, now: cluster.now)
            #expect(cluster.run(for: 10) { client.responses[id]?.ended == true })
            #expect(client.responses[id]?.status == 200)
            #expect(!client.receivedStatelessReset)
        }
    }

    @Test func `workers that disagree about newcomers do not send them to and fro`() throws {
        let cluster = try Cluster(slots: 2)
        cluster[0].endpoint.newcomers = [1]
        cluster[1].endpoint.newcomers = [0]
        for _ in 0..<4 { _ = established(cluster) }
        #expect(cluster.forwarded >= 4)
    }

    @Test func `a worker that drains hands newcomers over`() throws {
        let cluster = try Cluster(slots: 4, delivery: .chance)
        cluster.setNewcomers([2, 3])
        cluster[0].endpoint.shutdown(now: cluster.now)
        cluster[1].endpoint.shutdown(now: cluster.now)
        for _ in 0..<12 { _ = established(cluster) }
        #expect(cluster[0].accepted == 0 && cluster[1].accepted == 0)
        expectNoAnswers(cluster)
    }

    @Test func `who is sent to a worker that drains already is served and told to go`() throws {
        let cluster = try Cluster(slots: 2)
        // Worker 0 does not know yet what worker 1 knows.
        cluster[1].endpoint.newcomers = [0]
        cluster[1].endpoint.shutdown(now: cluster.now)
        cluster[0].endpoint.newcomers = [1]
        cluster.steeredNewcomers = [0]
        let client = established(cluster)
        #expect(cluster[1].accepted == 1)
        #expect(cluster.run(for: 5) { client.goaways.count == 2 && client.isOver })
        #expect(client.serverCloseCode == code(NGHTTP3_H3_NO_ERROR))
    }

    @Test func `newcomers are refused where all workers drain`() throws {
        let cluster = try Cluster(slots: 2, delivery: .wrong)
        for worker in cluster.workers.values { worker.endpoint.shutdown(now: cluster.now) }
        let client = cluster.connect()
        client.request()
        #expect(cluster.run { client.isOver })
        #expect(client.serverCloseCode == code(NGTCP2_CONNECTION_REFUSED))
    }

    // MARK: Handshakes in a shutdown

    @Test func `a handshake that a shutdown finds ends, and its requests are served`() throws {
        let cluster = try Cluster(slots: 1)
        let client = cluster.connect()
        let id = client.request()
        #expect(cluster.run { cluster[0].endpoint.connectionCount == 1 })
        cluster[0].endpoint.shutdown(now: cluster.now)
        #expect(!client.handshakeCompleted)
        #expect(cluster.run { client.responses[id]?.ended == true })
        #expect(client.responses[id]?.status == 200)
        #expect(cluster.run { client.goaways.count == 2 && client.isOver })
        #expect(client.serverCloseCode == code(NGHTTP3_H3_NO_ERROR))
    }

    @Test func `a handshake that does not end holds a shutdown for its grace only`() throws {
        let cluster = try Cluster(slots: 1)
        let client = cluster.connect()
        client.request()
        #expect(cluster.run { cluster[0].endpoint.connectionCount == 1 })
        cluster.network.intercept = { _, _ in nil }
        cluster[0].endpoint.shutdown(now: cluster.now)
        cluster.run(for: HTTP3Constants.handshakeGrace - 0.01)
        #expect(cluster[0].endpoint.connectionCount == 1)
        cluster.run(for: 0.02)
        #expect(cluster[0].endpoint.connectionCount == 0)
    }

    // MARK: Lost connections

    @Test(arguments: Cluster.Delivery.allCases)
    func `the successor of a dead worker resets its connections`(delivery: Cluster.Delivery) throws {
        let cluster = try Cluster(slots: 4, delivery: delivery)
        let clients = (0..<8).map { _ in established(cluster) }
        let owners = clients.map { cluster.owner(of: $0) }
        cluster.kill(2)
        for client in clients { client.request() }
        cluster.run(for: 0.5)
        // Nobody speaks for the dead.
        #expect(clients.allSatisfy { !$0.receivedStatelessReset })
        cluster.start(2)
        cluster.run(for: 10)
        for (client, owner) in zip(clients, owners) {
            #expect(client.receivedStatelessReset == (owner == 2))
            #expect(client.responses[4]?.ended == (owner == 2 ? false : true))
        }
        for slot in [0, 1, 3] { #expect(cluster[slot].answers.isEmpty) }
    }

    @Test(arguments: Cluster.Delivery.allCases)
    func `who has adopted a slot resets the connections of its dead worker`(delivery: Cluster.Delivery) throws {
        let cluster = try Cluster(slots: 4, delivery: delivery)
        let clients = (0..<8).map { _ in established(cluster) }
        let owners = clients.map { cluster.owner(of: $0) }
        cluster.kill(1)
        cluster.setNewcomers([0, 2, 3])
        cluster[3].endpoint.adoptedSlots = [1]
        for client in clients { client.request() }
        cluster.run(for: 10)
        for (client, owner) in zip(clients, owners) { #expect(client.receivedStatelessReset == (owner == 1)) }
        for slot in [0, 2] { #expect(cluster[slot].answers.isEmpty) }
        // Newcomers that were on their way to the dead worker are its adopter's.
        cluster.setNewcomers([1])
        let late = established(cluster)
        #expect(cluster.owner(of: late) == 3)
        // Once released, the slot is nobody's business here.
        cluster[3].endpoint.adoptedSlots = []
        cluster.start(1)
        let other = established(cluster)
        #expect(cluster.owner(of: other) == 1)
        #expect(!late.isOver)
    }

    @Test func `every client of a dead worker is told at once, whatever strangers ask meanwhile`() throws {
        let cluster = try Cluster(slots: 1)
        let buffer = TransmitBuffer()
        let source = SocketAddress(literal: "10.0.9.9", port: 999)!
        func answers(to datagrams: [[UInt8]], from cluster: Cluster) -> Int {
            for datagram in datagrams {
                _ = cluster.receive(datagram, from: source, at: cluster[0], isForwarded: false)
            }
            var count = 0
            while cluster[0].endpoint.nextTransmit(into: buffer) != nil { count += 1 }
            return count
        }
        /// What clients send on connections that nobody remembers.
        func packets(_ count: Int, to cluster: Cluster) -> [[UInt8]] {
            (0..<count)
                .map { _ in
                    let id = cluster[0].endpoint.routing.make()
                    return [0x40] + id.withUnsafeBytes { Array($0) } + [UInt8](repeating: 0, count: 30)
                }
        }
        // An unknown version of QUIC.
        var stranger = [UInt8](repeating: 0, count: 1200)
        stranger.replaceSubrange(0..<7, with: [0xc3, 0x1a, 0x2a, 0x3a, 0x4a, 8, 1])
        #expect(answers(to: Array(repeating: stranger, count: 500), from: cluster) == 100)
        #expect(answers(to: packets(1000, to: cluster), from: cluster) == 1000)

        let bounded = try Cluster(slots: 1) { $0.statelessResetsPerSecond = 300 }
        #expect(answers(to: packets(301, to: bounded), from: bounded) == 300)
        #expect(answers(to: [stranger], from: bounded) == 1)
    }

    // MARK: Whatever comes

    @Test(arguments: [1, 2, 3, 4] as [UInt64])
    func `whatever bytes arrive, they are done with or another slot's`(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        let cluster = try Cluster(slots: 5, seed: seed) { $0.retry = seed.isMultiple(of: 2) ? .always : .automatic }
        cluster.handler = { $0.echo($1) }
        cluster.setNewcomers([1, 3])
        cluster[0].endpoint.adoptedSlots = [4]
        cluster[2].endpoint.shutdown(now: cluster.now)
        var seen: [[UInt8]] = []
        cluster.network.intercept = { bytes, _ in
            seen.append(bytes)
            return bytes
        }
        for _ in 0..<3 { _ = established(cluster) }
        for _ in 0..<4000 {
            var bytes = seen.randomElement(using: &generator) ?? []
            for _ in 0..<Int.random(in: 0...4, using: &generator) where !bytes.isEmpty {
                bytes[Int.random(in: 0..<min(bytes.count, 60), using: &generator)] =
                    UInt8.random(in: 0...255, using: &generator)
            }
            if Int.random(in: 0..<4, using: &generator) == 0 {
                bytes.removeLast(Int.random(in: 0...bytes.count, using: &generator))
            }
            let slot = [0, 1, 2, 3].randomElement(using: &generator) ?? 0
            let source = SocketAddress(literal: "10.0.9.9", port: UInt16.random(in: 0...65535, using: &generator))!
            let forward = Bool.random(using: &generator)
            let next = cluster.receive(bytes, from: source, at: cluster[slot], isForwarded: forward)
            guard let next else { continue }
            #expect((0..<5).contains(next) && next != slot && !forward)
            #expect(!cluster[slot].endpoint.adoptedSlots.contains(next))
        }
        cluster.network.intercept = nil
        cluster.run(for: 60)
        _ = established(cluster)
    }
}
