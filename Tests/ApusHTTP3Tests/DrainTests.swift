import ApusGateway
import ApusHTTP
import ApusTestClients
import CNghttp3
import Testing

@testable import ApusHTTP3

/// What a shutdown waits for, and what it does not wait for.
@Suite struct DrainTests {
    private let noError = code(NGHTTP3_H3_NO_ERROR)

    private func established(_ simulation: Simulation) -> HTTP3Client {
        let client = simulation.connect()
        let id = client.request()
        #expect(simulation.run { client.responses[id]?.ended == true })
        return client
    }

    @Test func `a client that is gone when its answer comes holds a shutdown for the linger timeout, no longer`() throws
    {
        let simulation = try Simulation()
        let client = established(simulation)
        client.request()
        // Whatever the client says from the second request's answer on, it says to nobody.
        simulation.step()
        simulation.handler = { simulation, connection, event in
            simulation.network.intercept = { bytes, target in target == simulation.serverAddress ? nil : bytes }
            simulation.answerHello(connection, event)
        }
        #expect(simulation.run(for: 1) { simulation.network.intercept != nil })
        simulation.run(for: 0.1)
        simulation.endpoint.shutdown(now: simulation.now)
        simulation.run(for: Limits().lingerTimeout)
        #expect(simulation.endpoint.connectionCount == 1)
        #expect(simulation.run(for: 1.1) { simulation.endpoint.connectionCount == 0 })
        #expect(simulation.ended.first?.connectionError == nil)
    }

    @Test func `an idle client that is gone holds a shutdown no longer than one that is there`() throws {
        let simulation = try Simulation()
        _ = established(simulation)
        simulation.run(for: 1)
        simulation.network.intercept = { _, _ in nil }
        simulation.endpoint.shutdown(now: simulation.now)
        #expect(simulation.run(for: 1.1) { simulation.endpoint.connectionCount == 0 })
    }

    @Test func `a client that takes the end of its answer slowly gets all of it`() throws {
        // On a path like this one the linger timeout passes before all is acknowledged.
        let body = TransferTests.pattern(60_000)
        var requests = 0
        let simulation = try Simulation { simulation, connection, event in
            if case .request = event { requests += 1 }
            simulation.answer(connection, event, Bytes(body))
        }
        let client = simulation.connect()
        let first = client.request()
        #expect(simulation.run { client.responses[first]?.ended == true })
        simulation.network.conditions.latency = 600_000_000
        simulation.network.conditions.loss = 0.2
        let id = client.request()
        #expect(simulation.run { requests == 2 })
        simulation.endpoint.shutdown(now: simulation.now)
        #expect(simulation.run(for: 60) { client.responses[id]?.ended == true })
        #expect(client.responses[id]?.body.elementsEqual(body) == true)
    }

    @Test func `a request that crosses the first GOAWAY is served`() throws {
        let simulation = try Simulation()
        let client = established(simulation)
        simulation.run(for: 1)
        let id = client.request()
        // The request is on its way when the notice goes out.
        simulation.step()
        simulation.endpoint.shutdown(now: simulation.now)
        #expect(simulation.run(for: 3) { client.responses[id]?.ended == true })
        #expect(client.responses[id]?.status == 200)
        #expect(simulation.run(for: 5) { client.isOver })
        #expect(client.goaways.last == id + 4)
        #expect(client.serverCloseCode == noError)
    }

    @Test func `the last request is named only when a busy client has had time to read the notice`() throws {
        let simulation = try Simulation()
        let client = established(simulation)
        simulation.run(for: 1)
        simulation.endpoint.shutdown(now: simulation.now)
        simulation.run(for: HTTP3Constants.noticePeriod - 0.1)
        #expect(client.goaways.count == 1)
        #expect(simulation.run(for: 0.3) { client.goaways.count == 2 })
    }

    @Test func `a handshake that a shutdown finds under way ends in an answer`() throws {
        let simulation = try Simulation()
        let client = simulation.connect()
        let id = client.request()
        #expect(simulation.run { simulation.endpoint.connectionCount == 1 })
        #expect(!client.handshakeCompleted)
        simulation.endpoint.shutdown(now: simulation.now)
        #expect(simulation.run(for: 3) { client.responses[id]?.ended == true })
        #expect(client.responses[id]?.status == 200)
        #expect(simulation.run(for: 5) { client.isOver })
        #expect(client.goaways.count == 2)
        #expect(client.serverCloseCode == noError)
    }

    @Test func `an application that never ends is told that its client is gone when connections must end now`() throws {
        var resets: [StreamReset] = []
        let simulation = try Simulation { _, connection, event in
            switch event {
            case .request(let id, _): connection.send(.head(ResponseHead(status: 200, headers: [:])), on: id)
            case .reset(_, let reason): resets.append(reason)
            default: break
            }
        }
        let client = simulation.connect()
        let id = client.request()
        #expect(simulation.run { client.responses[id]?.status == 200 })
        simulation.endpoint.shutdown(now: simulation.now)
        simulation.run(for: 10)
        #expect(simulation.endpoint.connectionCount == 1)
        simulation.connections[0].closeNow(now: simulation.now)
        simulation.step()
        #expect(resets == [.connectionLost])
        #expect(simulation.endpoint.connectionCount == 0)
        #expect(simulation.run(for: 1) { client.isOver })
        // Never an end that could be taken for that of a whole response.
        #expect(client.responses[id]?.ended == false)
    }
}
