import ApusGateway
import ApusHTTP
import ApusHTTP3
import ApusTestClients
import CNghttp3
import Testing

@Suite struct LimitTests {
    private func status(
        _ limits: Limits = Limits(),
        _ method: String = "GET",
        pseudo: [(String, String)]? = nil,
        path: String = "/",
        fields: Headers
    ) throws -> (response: HTTP3Client.Response?, requests: Int) {
        var requests = 0
        let simulation = try Simulation(limits: limits) { simulation, connection, event in
            if case .request = event { requests += 1 }
            simulation.answerHello(connection, event)
        }
        let client = simulation.connect()
        let id = client.request(method, path, fields: fields, pseudo: pseudo)
        simulation.run(for: 10) { client.responses[id]?.closeCode != nil || client.responses[id]?.ended == true }
        return (client.responses[id], requests)
    }

    @Test(arguments: [499, 500])
    func fieldsAreCounted(count: Int) throws {
        var fields = Headers()
        for index in 0..<count { fields.append("x-\(index)", "v") }
        // The host is a field as well.
        let (response, requests) = try status(fields: fields)
        #expect(response?.status == (count < 500 ? 200 : 431))
        #expect(requests == (count < 500 ? 1 : 0))
    }

    @Test(arguments: [0, 1])
    func theBytesOfFieldsAreCounted(excess: Int) throws {
        var limits = Limits()
        limits.maxFieldSectionSize = 2000
        // host: 4 + 9 + 32 bytes; the other field: 1 + 32 and its value.
        let value = String(repeating: "v", count: 2000 - 45 - 33 + excess)
        let (response, requests) = try status(limits, fields: ["x": value])
        #expect(response?.status == (excess == 0 ? 200 : 431))
        #expect(requests == (excess == 0 ? 1 : 0))
    }

    @Test func aFieldOfSixtyKilobytesIsAnsweredWith431() throws {
        let (response, _) = try status(fields: ["x": String(repeating: "v", count: 60_000)])
        #expect(response?.status == 431)
        #expect(response?.body == Array("431 Request Header Fields Too Large\n".utf8))
    }

    @Test(arguments: [0, 1])
    func aLongTargetIsAnsweredWith414(excess: Int) throws {
        var limits = Limits()
        limits.maxRequestLineSize = 1000
        let path = "/" + String(repeating: "p", count: 999 + excess)
        let (response, _) = try status(limits, path: path, fields: [:])
        #expect(response?.status == (excess == 0 ? 200 : 414))
    }

    @Test func aTunnelIsNotImplemented() throws {
        let pseudo = [(":method", "CONNECT"), (":authority", "example.org:443")]
        let (response, requests) = try status(pseudo: pseudo, fields: [:])
        #expect(response?.status == 501)
        #expect(requests == 0)
    }

    @Test func aHostThatDiffersFromTheAuthorityIsMalformed() throws {
        let (same, _) = try status(fields: ["host": "LOCALHOST"])
        #expect(same?.status == 200)
        let (other, requests) = try status(fields: ["host": "elsewhere"])
        #expect(other?.closeCode == code(NGHTTP3_H3_MESSAGE_ERROR))
        #expect(requests == 0)
    }

    @Test func theHostFieldStandsInForTheAuthority() throws {
        var head: RequestHead?
        let simulation = try Simulation { simulation, connection, event in
            if case .request(_, let request) = event { head = request }
            simulation.answerHello(connection, event)
        }
        let client = simulation.connect()
        let pseudo = [(":method", "GET"), (":scheme", "https"), (":path", "/")]
        client.request(fields: ["accept": "*/*", "host": "example.org"], pseudo: pseudo)
        #expect(simulation.run { head != nil })
        #expect(head?.headers == ["host": "example.org", "accept": "*/*"])
    }

    @Test func aHeadThatDoesNotEndIsGivenUp() throws {
        var limits = Limits()
        limits.headTimeout = 3
        let simulation = try Simulation(limits: limits)
        let client = simulation.connect()
        let first = client.request()
        #expect(simulation.run { client.responses[first]?.ended == true })
        // A HEADERS frame of 60 bytes of which only the prefix and one field come.
        client.sendRaw([1, 60, 0, 0, 0xd1], bidirectional: true, fin: false)
        simulation.run(for: 2)
        #expect(simulation.connections.first?.openStreams == 1)
        simulation.keepAlive(client, for: 8)
        #expect(simulation.connections.first?.openStreams == 0)
        #expect(!client.isOver)
    }

    @Test func aResponseThatIsNotTakenIsGivenUp() throws {
        var limits = Limits()
        limits.sendStallTimeout = 5
        var options = HTTP3Client.Options()
        options.consumes = false
        options.streamWindow = 20_000
        var resets: [StreamReset] = []
        let simulation = try Simulation(limits: limits) { simulation, connection, event in
            switch event {
            case .request(let id, let head):
                guard head.target == "/large" else { return simulation.answer(connection, id, "small") }
                connection.send(.head(ResponseHead(status: 200, headers: [:])), on: id)
                connection.send(.body(Bytes([UInt8](repeating: 1, count: 100_000)), end: true), on: id)
            case .reset(let id, let reason):
                resets.append(reason)
                connection.applicationEnded(on: id)
            default: break
            }
        }
        let client = simulation.connect(options)
        let large = client.request("GET", "/large")
        simulation.keepAlive(client, for: 4)
        #expect(resets.isEmpty)
        simulation.keepAlive(client, for: 4)
        #expect(resets == [.excessiveLoad])
        #expect(client.responses[large]?.resetCode == code(NGHTTP3_H3_EXCESSIVE_LOAD))
        #expect(!client.isOver)
    }

    @Test func trailersPastTheLimitResetTheStream() throws {
        var limits = Limits()
        limits.maxFieldCount = 10
        var resets: [StreamReset] = []
        let simulation = try Simulation(limits: limits) { simulation, connection, event in
            if case .reset(_, let reason) = event { resets.append(reason) }
            simulation.echo(connection, event)
        }
        let client = simulation.connect()
        func trailers(_ count: Int) -> Headers {
            var fields = Headers()
            for index in 0..<count { fields.append("x-\(index)", "v") }
            return fields
        }
        let fits = client.request("POST", "/", upload: .init(pieces: [1], trailers: trailers(10)))
        let exceeds = client.request("POST", "/", upload: .init(pieces: [1], trailers: trailers(11)))
        #expect(simulation.run { client.responses[fits]?.ended == true && !resets.isEmpty })
        #expect(client.responses[fits]?.trailers?.count == 10)
        #expect(resets == [.excessiveLoad])
        #expect(simulation.run { client.responses[exceeds]?.closeCode == code(NGHTTP3_H3_EXCESSIVE_LOAD) })
    }
}
