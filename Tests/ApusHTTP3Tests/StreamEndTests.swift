import ApusGateway
import ApusHTTP
import ApusHTTP3
import ApusTestClients
import CNghttp3
import Testing

@Suite struct StreamEndTests {
    /// Keeps the requests, and the reason of each reset.
    final class Recorder {
        var requests: [StreamID] = []
        var resets: [StreamReset] = []
        var bodyBytes = 0
        var ends = 0

        func handle(_ simulation: Simulation, _ connection: HTTP3Connection, _ event: StreamEvent) {
            switch event {
            case .request(let id, _): requests.append(id)
            case .body(let id, let bytes):
                bodyBytes += bytes.count
                connection.consumed(bytes.count, on: id)
            case .end: ends += 1
            case .reset(let id, let reason):
                resets.append(reason)
                connection.applicationEnded(on: id)
            case .writable: break
            }
        }
    }

    @Test func aClientThatResetsIsADisconnect() throws {
        let recorder = Recorder()
        let simulation = try Simulation { recorder.handle($0, $1, $2) }
        let client = simulation.connect()
        let id = client.request("POST", "/", upload: .init(pieces: [1, 2, 3], isComplete: false))
        #expect(simulation.run { recorder.bodyBytes == 3 })
        client.reset(id)
        #expect(simulation.run { !recorder.resets.isEmpty })
        #expect(recorder.resets == [.cancelled])
        #expect(simulation.run { simulation.connections.first?.openStreams == 0 })
    }

    @Test func aClientThatCancelsADownloadIsADisconnect() throws {
        let recorder = Recorder()
        let simulation = try Simulation { simulation, connection, event in
            recorder.handle(simulation, connection, event)
            guard case .request(let id, _) = event else { return }
            connection.send(.head(ResponseHead(status: 200, headers: [:])), on: id)
            connection.send(.body(Bytes([UInt8](repeating: 1, count: 1_000_000)), end: false), on: id)
        }
        let client = simulation.connect()
        let id = client.request()
        #expect(simulation.run { (client.responses[id]?.body.count ?? 0) > 10_000 })
        client.stopReading(id)
        #expect(simulation.run(for: 1) { recorder.resets == [.cancelled] })
        #expect(simulation.run { simulation.connections.first?.openStreams == 0 })
    }

    @Test func aClientThatLeavesWhileTheApplicationThinksIsADisconnect() throws {
        let recorder = Recorder()
        let simulation = try Simulation { recorder.handle($0, $1, $2) }
        let client = simulation.connect()
        let id = client.request()
        #expect(simulation.run { recorder.requests.count == 1 })
        client.stopReading(id)
        #expect(simulation.run(for: 1) { recorder.resets == [.cancelled] })
    }

    @Test func aStoppedUploadIsNoticedAtTheNextWrite() throws {
        let recorder = Recorder()
        var server: HTTP3Connection?
        let simulation = try Simulation {
            server = $1
            recorder.handle($0, $1, $2)
        }
        let client = simulation.connect()
        let id = client.request("POST", "/", upload: .init(pieces: [1], isComplete: false))
        #expect(simulation.run { recorder.bodyBytes == 1 })
        client.stopReading(id)
        simulation.run(for: 1)
        server?.send(.head(ResponseHead(status: 200, headers: [:])), on: recorder.requests[0])
        server?.send(.body("lost", end: true), on: recorder.requests[0])
        #expect(simulation.run(for: 1) { recorder.resets == [.cancelled] })
    }

    @Test func anApplicationThatFailsNeverLooksComplete() throws {
        let simulation = try Simulation { _, connection, event in
            guard case .request(let id, _) = event else { return }
            connection.send(.head(ResponseHead(status: 200, headers: [:])), on: id)
            connection.send(.body("half", end: false), on: id)
            connection.send(.reset(.internalError), on: id)
            connection.applicationEnded(on: id)
        }
        let client = simulation.connect()
        let id = client.request()
        #expect(simulation.run { client.responses[id]?.resetCode != nil })
        #expect(client.responses[id]?.resetCode == code(NGHTTP3_H3_INTERNAL_ERROR))
        #expect(client.responses[id]?.ended == false)
        #expect(simulation.run { simulation.connections.first?.openStreams == 0 })
    }

    @Test func aCompleteResponseStopsAnUnreadUpload() throws {
        var events = 0
        let simulation = try Simulation { simulation, connection, event in
            events += 1
            guard case .request(let id, _) = event else { return }
            simulation.answer(connection, id, "too much", status: 413)
        }
        let client = simulation.connect()
        let id = client.request("POST", "/", upload: .init(pieces: [UInt8](repeating: 0, count: 3_000_000)))
        #expect(simulation.run { client.responses[id]?.ended == true })
        #expect(client.responses[id]?.status == 413)
        #expect(client.responses[id]?.body == Array("too much".utf8))
        #expect(simulation.run { simulation.connections.first?.openStreams == 0 })
        #expect(simulation.run { client.responses[id]?.closeCode == code(NGHTTP3_H3_NO_ERROR) })
        #expect((client.uploads[id]?.offered ?? 0) < 1_000_000)
        // The connection is as good as new.
        let next = client.request()
        #expect(simulation.run { client.responses[next]?.ended == true })
    }

    @Test func aStreamsPlaceIsFreeOnlyWhenItsApplicationHasEnded() throws {
        var limits = Limits()
        limits.maxConcurrentStreams = 4
        var running: [StreamID] = []
        var most = 0
        let simulation = try Simulation(limits: limits) { _, _, event in
            if case .request(let id, _) = event { running.append(id) }
            most = max(most, running.count)
        }
        let client = simulation.connect()
        let ids = (0..<20).map { _ in client.request() }
        simulation.run(for: 1)
        #expect(running.count == 4)
        for id in ids.prefix(4) { client.reset(id) }
        simulation.run(for: 5)
        // All four are reset, and their applications still run.
        #expect(running.count == 4)
        let connection = try #require(simulation.connections.first)
        for _ in 0..<4 { connection.applicationEnded(on: running.removeFirst()) }
        simulation.run(for: 1)
        #expect(running.count == 4)
        #expect(most == 4)
    }

    @Test(arguments: [50, 51])
    func resetsBeyondTheBurstEndTheConnection(count: Int) throws {
        var limits = Limits()
        limits.streamResetBurst = 50
        let recorder = Recorder()
        let simulation = try Simulation(limits: limits) { recorder.handle($0, $1, $2) }
        let client = simulation.connect()
        let ids = (0..<count).map { _ in client.request() }
        #expect(simulation.run { recorder.requests.count == count })
        for id in ids { client.reset(id) }
        simulation.run(for: 0.015)
        #expect(client.isOver == (count > 50))
        if count > 50 {
            #expect(client.serverCloseCode == code(NGHTTP3_H3_EXCESSIVE_LOAD))
            #expect(simulation.ended.first?.connectionError?.kind == .limitExceeded)
        }
        #expect(recorder.resets.count == count)
    }

    @Test(arguments: [10, 11])
    func malformedRequestsCountAsResets(count: Int) throws {
        var limits = Limits()
        limits.streamResetBurst = 10
        let recorder = Recorder()
        let simulation = try Simulation(limits: limits) { recorder.handle($0, $1, $2) }
        let client = simulation.connect()
        for _ in 0..<count {
            client.request("POST", "/", fields: ["content-length": "4"], upload: .init(pieces: [1]))
        }
        simulation.run(for: 0.5)
        #expect(client.isOver == (count > 10))
        #expect(!client.isOver || client.serverCloseCode == code(NGHTTP3_H3_EXCESSIVE_LOAD))
    }

    @Test func theEndOfTheConnectionIsTheEndOfItsStreams() throws {
        let recorder = Recorder()
        let simulation = try Simulation { recorder.handle($0, $1, $2) }
        let client = simulation.connect()
        for _ in 0..<3 { client.request() }
        #expect(simulation.run { recorder.requests.count == 3 })
        let packet = client.close(now: simulation.now)
        simulation.network.send(packet, from: client.local, to: simulation.serverAddress, now: simulation.now)
        #expect(simulation.run(for: 1) { recorder.resets.count == 3 })
        #expect(recorder.resets.allSatisfy { $0 == .connectionLost })
        #expect(simulation.ended.count == 1)
    }

    @Test(arguments: ["4", "6"])
    func bodyThatContradictsItsLengthIsMalformed(length: String) throws {
        let recorder = Recorder()
        let simulation = try Simulation { recorder.handle($0, $1, $2) }
        let client = simulation.connect()
        let upload = HTTP3Client.Upload(pieces: [1, 2, 3, 4, 5])
        let id = client.request("POST", "/", fields: ["content-length": length], upload: upload)
        #expect(simulation.run { recorder.resets.count == 1 })
        #expect(recorder.resets == [.malformed])
        #expect(simulation.run { client.responses[id]?.closeCode == code(NGHTTP3_H3_MESSAGE_ERROR) })
        // One request's error is not its siblings'.
        client.request()
        #expect(simulation.run { recorder.requests.count == 2 })
        #expect(!client.isOver)
    }

    @Test func whatIsSentOnALostStreamIsIgnored() throws {
        let recorder = Recorder()
        var server: HTTP3Connection?
        let simulation = try Simulation {
            server = $1
            recorder.handle($0, $1, $2)
        }
        let client = simulation.connect()
        let id = client.request()
        #expect(simulation.run { recorder.requests.count == 1 })
        client.reset(id)
        #expect(simulation.run { recorder.resets.count == 1 })
        server?.send(.head(ResponseHead(status: 200, headers: [:])), on: recorder.requests[0])
        server?.send(.body("late", end: true), on: recorder.requests[0])
        server?.send(.body("unknown", end: true), on: StreamID(4000))
        server?.send(.body("absurd", end: true), on: StreamID(.max))
        server?.consumed(100, on: StreamID(.max))
        let next = client.request()
        #expect(simulation.run(for: 1) { recorder.requests.count == 2 })
        _ = next
    }
}
