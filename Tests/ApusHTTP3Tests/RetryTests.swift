import ApusHTTP
import ApusTestClients
import CNghttp3
import CNgtcp2
import Testing

@testable import ApusHTTP3

/// Clients that prove their addresses, and those that do not.
@Suite struct RetryTests {
    private func established(_ cluster: Cluster, _ options: HTTP3Client.Options = .init()) -> HTTP3Client {
        let client = cluster.connect(options)
        let id = client.request()
        #expect(cluster.run { client.responses[id]?.ended == true })
        return client
    }

    private func options(token: [UInt8]?) -> HTTP3Client.Options {
        var options = HTTP3Client.Options()
        options.token = token ?? []
        return options
    }

    private func total(_ cluster: Cluster) -> Int {
        cluster.workers.values.reduce(0) { $0 + $1.endpoint.retriesSent }
    }

    // MARK: When

    @Test(arguments: Cluster.Delivery.allCases)
    func `always, every newcomer answers one Retry`(delivery: Cluster.Delivery) throws {
        let cluster = try Cluster(slots: 4, delivery: delivery) { $0.retry = .always }
        var options = HTTP3Client.Options()
        for padding in [0, 1500] {
            options.helloPadding = padding
            for _ in 0..<6 {
                let client = established(cluster, options)
                #expect(client.retries == 1)
            }
        }
        #expect(cluster.workers.values.reduce(0) { $0 + $1.accepted } == 12)
        #expect(!cluster[0].endpoint.isRetryEngaged)
    }

    @Test func `off, nobody does`() throws {
        let cluster = try Cluster(slots: 1) {
            $0.retry = .off
            $0.unvalidatedHandshakeBurst = 1
            $0.maxUnvalidatedHandshakes = 1
        }
        for _ in 0..<20 { cluster.connect().request() }
        #expect(cluster.run { cluster.clients.allSatisfy { $0.responses[0]?.ended == true } })
        #expect(total(cluster) == 0)
    }

    @Test func `it engages one past the burst, and ends when fewer come`() throws {
        let cluster = try Cluster(slots: 1) {
            $0.unvalidatedHandshakeBurst = 5
            $0.unvalidatedHandshakesPerSecond = 1
            $0.retryHold = 4
        }
        let endpoint = cluster[0].endpoint
        for _ in 0..<5 { _ = cluster.connect() }
        #expect(cluster.run(for: 0.5) { cluster.clients.allSatisfy(\.handshakeCompleted) })
        #expect(total(cluster) == 0 && !endpoint.isRetryEngaged)
        let sixth = established(cluster)
        #expect(sixth.retries == 1)
        #expect(endpoint.isRetryEngaged)
        // By then the bucket has enough again, but the proof is demanded for a while longer.
        cluster.run(for: 3)
        #expect(established(cluster).retries == 1)
        cluster.run(for: 1)
        // It has ended by itself, without a newcomer.
        #expect(!endpoint.isRetryEngaged)
        #expect(established(cluster).retries == 0)
        #expect(total(cluster) == 2)
    }

    @Test func `it engages where one handshake too many is under way`() throws {
        let cluster = try Cluster(slots: 1) { $0.maxUnvalidatedHandshakes = 3 }
        let endpoint = cluster[0].endpoint
        // Those that have ended do not count.
        for _ in 0..<5 { _ = established(cluster) }
        #expect(endpoint.gate.underWay == 0)
        let halfOpen = (0..<3).map { _ in cluster.connect() }
        // What goes to them is lost: their handshakes do not end.
        let addresses = Set(halfOpen.map(\.local))
        cluster.network.intercept = { bytes, target in addresses.contains(target) ? nil : bytes }
        #expect(cluster.run { endpoint.gate.underWay == 3 })
        #expect(endpoint.connectionCount == 8 && !endpoint.isRetryEngaged)
        let fourth = established(cluster)
        #expect(fourth.retries == 1)
        #expect(endpoint.isRetryEngaged)
        // Their time is over; so is the need.
        cluster.forgetClients()
        cluster.network.intercept = nil
        cluster.run(for: 40)
        #expect(endpoint.gate.underWay == 0 && !endpoint.isRetryEngaged)
        #expect(established(cluster).retries == 0)
    }

    @Test func `Retry packets have a budget of their own`() throws {
        let cluster = try Cluster(slots: 1) {
            $0.retry = .always
            $0.retriesPerSecond = 10
            $0.statelessAnswersPerSecond = 1
        }
        for _ in 0..<11 { _ = cluster.connect() }
        cluster.run(for: 0.02)
        #expect(total(cluster) == 10)
        #expect(cluster.clients.filter { $0.retries == 1 }.count == 10)
        // The eleventh comes again, as after any loss.
        #expect(cluster.run { cluster.clients.allSatisfy(\.handshakeCompleted) })
    }

    @Test func `who is one too many is refused without a Retry`() throws {
        let cluster = try Cluster(slots: 1) {
            $0.retry = .always
            $0.limits.maxConnections = 1
        }
        _ = established(cluster)
        let client = cluster.connect()
        #expect(cluster.run { client.isOver })
        #expect(client.retries == 0)
        #expect(client.serverCloseCode == code(NGTCP2_CONNECTION_REFUSED))
    }

    // MARK: On any worker

    @Test func `who was sent a Retry by one worker is accepted by each of eight, a hundred times`() throws {
        // The ninth slot's worker sends the Retry, and is gone when the answer comes.
        let cluster = try Cluster(slots: 9) {
            $0.retry = .always
            $0.limits.maxConnections = 1_000_000
        }
        for adopter in 0..<8 {
            cluster.setNewcomers([8])
            let clients = (0..<100).map { _ in cluster.connect() }
            #expect(cluster.run { clients.allSatisfy { $0.retries == 1 } })
            cluster.kill(8)
            cluster[adopter].endpoint.adoptedSlots = [8]
            let before = cluster[adopter].accepted
            for client in clients { client.request() }
            #expect(cluster.run { clients.allSatisfy { $0.responses[0]?.ended == true } })
            #expect(clients.allSatisfy { $0.retries == 1 })
            #expect(cluster[adopter].accepted == before + 100)
            cluster[adopter].endpoint.adoptedSlots = []
            cluster.start(8)
            cluster.forgetClients()
        }
    }

    @Test func `a NEW_TOKEN of one worker spares the Retry at each of eight, a hundred times`() throws {
        let cluster = try Cluster(slots: 8) { $0.retry = .always }
        cluster.setNewcomers([0])
        let first = established(cluster)
        #expect(cluster.run { !first.newTokens.isEmpty })
        let token = try #require(first.newTokens.first)
        for slot in 0..<8 {
            cluster.setNewcomers([slot])
            let clients = (0..<100).map { _ in cluster.connect(options(token: token)) }
            for client in clients { client.request() }
            #expect(cluster.run { clients.allSatisfy { $0.responses[0]?.ended == true } })
            #expect(clients.allSatisfy { $0.retries == 0 })
            cluster.forgetClients()
        }
        #expect(total(cluster) == 1)
    }

    @Test func `a worker that drains hands over who answers its Retry`() throws {
        let cluster = try Cluster(slots: 3) { $0.retry = .always }
        cluster.setNewcomers([0])
        let client = cluster.connect()
        #expect(cluster.run { client.retries == 1 })
        cluster.setNewcomers([1, 2])
        cluster[0].endpoint.shutdown(now: cluster.now)
        let id = client.request()
        #expect(cluster.run { client.responses[id]?.ended == true })
        #expect(cluster[0].accepted == 0)
        #expect(client.retries == 1 && cluster.forwarded > 0)
    }

    @Test func `the successor of a dead worker accepts who answers its Retry`() throws {
        let cluster = try Cluster(slots: 2, delivery: .wrong) { $0.retry = .always }
        let client = cluster.connect()
        #expect(cluster.run { client.retries == 1 })
        for slot in 0..<2 { cluster.start(slot) }
        let id = client.request()
        #expect(cluster.run { client.responses[id]?.ended == true })
        #expect(client.retries == 1)
    }

    // MARK: Tokens that prove nothing

    @Test func `who answers a Retry from another port is told that its token is invalid`() throws {
        let cluster = try Cluster(slots: 2) { $0.retry = .always }
        let client = cluster.connect()
        client.request()
        // What it answers at once is lost; then its NAT gives it another port.
        cluster.network.intercept = { bytes, target in
            client.retries == 1 && target == Cluster.serverAddress ? nil : bytes
        }
        #expect(cluster.run { client.retries == 1 })
        cluster.network.intercept = nil
        cluster.rebind(client, to: 777)
        #expect(cluster.run(for: 3) { client.isOver })
        #expect(client.serverCloseCode == code(NGTCP2_INVALID_TOKEN))
        #expect(cluster.workers.values.allSatisfy { $0.endpoint.connectionCount == 0 })
    }

    @Test func `who answers a Retry too late is told that its token is invalid`() throws {
        let cluster = try Cluster(slots: 2) { $0.retry = .always }
        let client = cluster.connect()
        client.request()
        #expect(cluster.run { client.retries == 1 })
        cluster.advanceWallClock(by: 10)
        #expect(cluster.run { client.isOver })
        #expect(client.serverCloseCode == code(NGTCP2_INVALID_TOKEN))
    }

    @Test func `invalid tokens are answered within the budget of stateless answers`() throws {
        let cluster = try Cluster(slots: 1) {
            $0.retry = .always
            $0.statelessAnswersPerSecond = 3
        }
        let client = cluster.connect()
        var sent: [[UInt8]] = []
        cluster.network.intercept = { bytes, target in
            if target == Cluster.serverAddress, client.retries == 1 { sent.append(bytes) }
            return bytes
        }
        cluster.run(for: 0.012)
        let answer = try #require(sent.first)
        for _ in 0..<4 {
            _ = cluster.receive(
                answer,
                from: SocketAddress(literal: "10.0.0.3", port: 1)!,
                at: cluster[0],
                isForwarded: false
            )
        }
        let endpoint = cluster[0].endpoint
        let buffer = TransmitBuffer()
        var answers = 0
        while let transmit = endpoint.nextTransmit(into: buffer) {
            answers += 1
            #expect(transmit.bytes.count <= answer.count)
        }
        #expect(answers == 3)
    }

    @Test func `a token that was changed is as none`() throws {
        let cluster = try Cluster(slots: 1) { $0.retry = .always }
        let first = established(cluster)
        #expect(cluster.run { !first.newTokens.isEmpty })
        let token = try #require(first.newTokens.first)
        var forged = token
        forged[20] ^= 1
        for wrong in [forged, Array(token.dropLast()), token + [1], [0xb7], [0x36], [0]] {
            #expect(established(cluster, options(token: wrong)).retries == 1)
        }
        #expect(established(cluster, options(token: token)).retries == 0)
        cluster.advanceWallClock(by: 86_400)
        #expect(established(cluster, options(token: token)).retries == 1)
    }

    @Test func `a token of another host is as none`() throws {
        let cluster = try Cluster(slots: 1) { $0.retry = .always }
        let first = established(cluster)
        #expect(cluster.run { !first.newTokens.isEmpty })
        let client = cluster.connect(options(token: first.newTokens.first), host: "10.0.0.3")
        #expect(cluster.run { client.handshakeCompleted })
        #expect(client.retries == 1)
    }

    @Test(arguments: [0, 1, 7])
    func `a token does not excuse an ID that is too short`(length: Int) throws {
        let cluster = try Cluster(slots: 1) { $0.retry = .off }
        var datagram = [UInt8](repeating: 0, count: 1200)
        // An Initial packet of version 1 with an ID of this length, none of the client's, and a token of five bytes.
        let header = [0xc0, 0, 0, 0, 1, UInt8(length)] + [UInt8](repeating: 9, count: length) + [0, 5, 1, 2, 3, 4, 5]
        datagram.replaceSubrange(0..<header.count + 2, with: header + [0x44, 0x80])
        let source = SocketAddress(literal: "10.0.0.5", port: 5)!
        #expect(cluster.receive(datagram, from: source, at: cluster[0], isForwarded: false) == nil)
        #expect(cluster[0].endpoint.droppedDatagrams == 1)
        #expect(cluster[0].endpoint.connectionCount == 0)
    }

    // MARK: What a token is good for

    @Test func `a client that has proved its new address gets a token for it`() throws {
        let cluster = try Cluster(slots: 1) { $0.retry = .always }
        let client = established(cluster)
        cluster.run(for: 1)
        #expect(client.newTokens.count == 1)
        client.migrate(to: SocketAddress(literal: "10.0.0.2", port: 999)!, now: cluster.now)
        cluster.run(for: 2)
        // Another port is no other address.
        #expect(client.newTokens.count == 1)
        client.migrate(to: SocketAddress(literal: "10.0.7.7", port: 999)!, now: cluster.now)
        #expect(cluster.run(for: 3) { client.newTokens.count == 2 })
        let next = cluster.connect(options(token: client.newTokens.last), host: "10.0.7.7")
        #expect(cluster.run { next.handshakeCompleted })
        #expect(next.retries == 0)
    }

    @Test func `a proved address may be sent more than three times what came from it`() throws {
        let cluster = try Cluster(slots: 1)
        let first = established(cluster)
        #expect(cluster.run { !first.newTokens.isEmpty })
        func bytesSent(_ token: [UInt8]?) -> Double {
            let client = cluster.connect(options(token: token))
            var sent = 0
            var received = 0
            let address = client.local
            cluster.network.intercept = { bytes, target in
                if target == address { sent += bytes.count }
                // One datagram arrives, and then the client is silent.
                guard target == Cluster.serverAddress, received == 0 else { return nil }
                received = bytes.count
                return bytes
            }
            cluster.run(for: 9)
            cluster.network.intercept = nil
            cluster.forgetClients()
            cluster.run(for: 60)
            return Double(sent) / Double(received)
        }
        #expect(bytesSent(nil) <= 3)
        #expect(bytesSent(first.newTokens.first) > 3)
    }
}
