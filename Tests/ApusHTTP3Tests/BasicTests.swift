import ApusGateway
import ApusHTTP
import ApusHTTP3
import ApusTestClients
import Testing

@Suite struct BasicTests {
    @Test func aGetIsAnswered() throws {
        let simulation = try Simulation()
        let client = simulation.connect()
        let id = client.request()
        #expect(simulation.run { client.responses[id]?.ended == true })
        let response = try #require(client.responses[id])
        #expect(response.status == 200)
        #expect(response.fields["content-type"] == "text/plain")
        #expect(response.body == Array("Hello, World!".utf8))
    }

    @Test func theApplicationSeesTheRequestAsItIs() throws {
        var head: RequestHead?
        let simulation = try Simulation { simulation, connection, event in
            if case .request(_, let request) = event { head = request }
            simulation.answerHello(connection, event)
        }
        let client = simulation.connect()
        let fields: Headers = [
            "accept": "*/*", "cookie": "a=1", "te": "trailers", "cookie": "b=2", "expect": "100-continue",
        ]
        client.request("OPTIONS", "/path%20x?query=1", fields: fields)
        #expect(simulation.run { head != nil })
        let request = try #require(head)
        #expect(request.version == .http3)
        #expect(request.method == "OPTIONS")
        #expect(request.scheme == "https")
        #expect(request.target == "/path%20x?query=1")
        #expect(
            request.headers == [
                "host": "localhost", "accept": "*/*", "cookie": "a=1", "te": "trailers", "cookie": "b=2",
                "expect": "100-continue",
            ]
        )
        #expect(request.acceptsTrailers)
        #expect(request.expectsContinue)
        #expect(!request.hasBody)
        #expect(request.contentLength == nil)
    }

    @Test func theConnectionKnowsItsAddressesAndTLSFacts() throws {
        var info: HTTP3Connection.Info?
        let simulation = try Simulation { simulation, connection, event in
            info = connection.info
            simulation.answerHello(connection, event)
        }
        let client = simulation.connect()
        client.request()
        #expect(simulation.run { info != nil })
        #expect(info?.remote == client.local)
        #expect(info?.local == simulation.serverAddress)
        #expect(info?.tlsVersion == 0x0304)
        #expect(info?.cipherSuite == 0x1301)
        #expect(info?.serverName == "localhost")
    }

    @Test func aHeadResponseHasNoBody() throws {
        let simulation = try Simulation { _, connection, event in
            guard case .request(let id, let head) = event else { return }
            #expect(head.isHead)
            let fields: Headers = ["content-length": "1000"]
            connection.send(.head(ResponseHead(status: 200, headers: fields, endsStream: true)), on: id)
            connection.applicationEnded(on: id)
        }
        let client = simulation.connect()
        let id = client.request("HEAD")
        #expect(simulation.run { client.responses[id]?.ended == true })
        #expect(client.responses[id]?.fields["content-length"] == "1000")
        #expect(client.responses[id]?.body.isEmpty == true)
    }

    @Test func theServersOwnFieldsFollowTheApplications() throws {
        let simulation = try Simulation { _, connection, event in
            guard case .request(let id, _) = event else { return }
            let head = ResponseHead(status: 404, headers: ["X-Own": "1"], defaults: ["server": "apus"])
            connection.send(.head(head), on: id)
            connection.send(.body(Bytes(), end: true), on: id)
            connection.applicationEnded(on: id)
        }
        let client = simulation.connect()
        let id = client.request()
        #expect(simulation.run { client.responses[id]?.ended == true })
        #expect(client.responses[id]?.status == 404)
        // RFC 9114 §4.2: names are lower-case on the wire.
        #expect(client.responses[id]?.fields == ["x-own": "1", "server": "apus"])
    }

    @Test func earlyHintsComeBeforeTheResponse() throws {
        let simulation = try Simulation { simulation, connection, event in
            guard case .request(let id, _) = event else { return }
            connection.send(.informational(status: 103, ["link": "</a>; rel=preload"]), on: id)
            connection.send(.informational(status: 103, ["link": "</b>; rel=preload"]), on: id)
            simulation.answer(connection, id, "body")
        }
        let client = simulation.connect()
        let id = client.request()
        #expect(simulation.run { client.responses[id]?.ended == true })
        let response = try #require(client.responses[id])
        #expect(response.informational.map(\.status) == [103, 103])
        #expect(response.informational.first?.fields["link"] == "</a>; rel=preload")
        #expect(response.status == 200)
        #expect(response.body == Array("body".utf8))
    }

    @Test func trailersGoBothWays() throws {
        let simulation = try Simulation { $0.echo($1, $2) }
        let client = simulation.connect()
        let upload = HTTP3Client.Upload(pieces: Array("content".utf8), trailers: ["x-sum": "42", "x-end": "yes"])
        let id = client.request("POST", "/", upload: upload)
        #expect(simulation.run { client.responses[id]?.ended == true })
        #expect(client.responses[id]?.body == Array("content".utf8))
        #expect(client.responses[id]?.trailers == ["x-sum": "42", "x-end": "yes"])
    }

    @Test func aRequestMayArriveInAnyPieces() throws {
        var body = Bytes()
        var trailers: Headers?
        var requests = 0
        var ends = 0
        let simulation = try Simulation { simulation, connection, event in
            switch event {
            case .request(_, let head):
                requests += 1
                #expect(head.method == "POST" && head.target == "/" && head.headers == ["host": "localhost"])
            case .body(_, let bytes): body = Bytes(joining: [body, bytes], count: body.count + bytes.count)
            case .end(let id, let fields):
                ends += 1
                trailers = fields
                simulation.answer(connection, id, "done")
            default: Issue.record("nothing else happens")
            }
        }
        // HEADERS with :method POST, :scheme https, :authority localhost and :path /; DATA; HEADERS with a trailer.
        let head: [UInt8] = [0, 0, 0xd4, 0xd7, 0x50, 9] + Array("localhost".utf8) + [0xc1]
        let trailer: [UInt8] = [0, 0, 0x23] + Array("x-a".utf8) + [1] + Array("b".utf8)
        let request =
            [1, UInt8(head.count)] + head + [0, 5] + Array("hello".utf8) + [1, UInt8(trailer.count)] + trailer
        let client = simulation.connect()
        let first = client.request("POST", "/", upload: .init())
        #expect(simulation.run { client.responses[first]?.ended == true })
        for cut in 0...request.count {
            body = Bytes()
            trailers = nil
            let id = client.sendRaw(Array(request[..<cut]), fin: false)
            simulation.run(for: 0.05)
            client.sendRaw(Array(request[cut...]), on: id, fin: true)
            #expect(simulation.run(for: 1) { ends == cut + 2 })
            #expect(body == "hello")
            #expect(trailers == ["x-a": "b"])
        }
        #expect(requests == request.count + 2)
    }

    @Test func aHundredRequestsRunInParallel() throws {
        var waiting: [(HTTP3Connection, StreamID)] = []
        let simulation = try Simulation { simulation, connection, event in
            guard case .request(let id, let head) = event else { return }
            waiting.append((connection, id))
            guard waiting.count == 100 else { return }
            for (connection, id) in waiting.reversed() { simulation.answer(connection, id, Bytes("to \(id)")) }
            _ = head
        }
        let client = simulation.connect()
        let ids = (0..<100).map { _ in client.request() }
        #expect(simulation.run { ids.allSatisfy { client.responses[$0]?.ended == true } })
        for id in ids { #expect(client.responses[id]?.body == Array("to \(id)".utf8)) }
    }

    @Test func streamsAreGivenBackSoThatThousandsFitOneConnection() throws {
        let simulation = try Simulation()
        let client = simulation.connect()
        let ids = (0..<3000).map { _ in client.request() }
        #expect(simulation.run { ids.allSatisfy { client.responses[$0]?.ended == true } })
        #expect(simulation.run { simulation.connections.first?.openStreams == 0 })
    }

    @Test func onlyH3IsSpoken() throws {
        let simulation = try Simulation()
        var options = HTTP3Client.Options()
        options.alpn = "h9"
        let client = simulation.connect(options)
        client.request()
        #expect(simulation.run { client.isOver })
        // RFC 9001 §8.1: TLS alert no_application_protocol (120).
        #expect(client.serverCloseCode == code(0x100 + 120))
        #expect(simulation.ended.first?.disposition == .abort)
        #expect(simulation.ended.first?.connectionError?.kind == .protocolViolation)
    }

    @Test func theClientGetsATicketToResumeWith() throws {
        let simulation = try Simulation()
        let client = simulation.connect()
        let id = client.request()
        #expect(simulation.run { client.responses[id]?.ended == true && client.hasTicket })
    }
}
