import ApusGateway
import ApusHTTP
import ApusTestClients
import CNghttp3
import Testing

@testable import ApusHTTP3

/// Everything at once, at random but repeatable: whatever clients and applications do, nothing is lost or left over.
@Suite struct ChaosTests {
    /// An application that does one of many things.
    final class Application {
        enum Habit: CaseIterable {
            case echo, answerAtOnce, answerAtEnd, large, stream, fail, failLate, ignoreBody, consumeLate
        }

        var habits: [StreamID: Habit] = [:]
        var waiting: [StreamID: Int] = [:]
        var generator: SeededGenerator
        var running = 0

        init(_ seed: UInt64) {
            generator = SeededGenerator(seed: seed)
        }

        func end(_ connection: HTTP3Connection, _ id: StreamID) {
            guard habits.removeValue(forKey: id) != nil else { return }
            running -= 1
            connection.applicationEnded(on: id)
        }

        func handle(_ simulation: Simulation, _ connection: HTTP3Connection, _ event: StreamEvent) {
            switch event {
            case .request(let id, _): begin(simulation, connection, id)
            case .body(let id, let bytes): receive(simulation, connection, id, bytes)
            case .end(let id, _): finish(connection, id)
            case .reset(let id, _): end(connection, id)
            case .writable: break
            }
        }

        private func begin(_ simulation: Simulation, _ connection: HTTP3Connection, _ id: StreamID) {
            let habit = Habit.allCases.randomElement(using: &generator) ?? .echo
            habits[id] = habit
            running += 1
            if habit == .fail {
                connection.send(.reset(.internalError), on: id)
                return end(connection, id)
            }
            connection.send(.head(ResponseHead(status: 200, headers: ["x": "y"])), on: id)
            switch habit {
            case .answerAtOnce, .ignoreBody:
                connection.send(.body("at once", end: true), on: id)
                if habit == .answerAtOnce { end(connection, id) }
            case .large:
                connection.send(.body(Bytes([UInt8](repeating: 1, count: 200_000)), end: true), on: id)
                end(connection, id)
            case .stream: stream(simulation, connection, id, 5)
            default: break
            }
        }

        private func stream(_ simulation: Simulation, _ connection: HTTP3Connection, _ id: StreamID, _ left: Int) {
            simulation.after(Double.random(in: 0...0.05, using: &generator)) { [unowned simulation] in
                guard self.habits[id] != nil else { return }
                connection.send(.body(Bytes([UInt8](repeating: 2, count: left * 999)), end: false), on: id)
                if left > 0 { return self.stream(simulation, connection, id, left - 1) }
                connection.send(.trailers(["x-end": "1"]), on: id)
                self.end(connection, id)
            }
        }

        private func receive(
            _ simulation: Simulation,
            _ connection: HTTP3Connection,
            _ id: StreamID,
            _ bytes: Bytes
        ) {
            switch habits[id] {
            case .echo, .answerAtEnd:
                if habits[id] == .echo { connection.send(.body(bytes, end: false), on: id) }
                connection.consumed(bytes.count, on: id)
            case .failLate:
                connection.send(.reset(.internalError), on: id)
                end(connection, id)
            case .consumeLate:
                let count = bytes.count
                simulation.after(0.1) { connection.consumed(count, on: id) }
            case .large, .stream, .ignoreBody, .answerAtOnce, .fail, nil: break
            }
        }

        private func finish(_ connection: HTTP3Connection, _ id: StreamID) {
            guard let habit = habits[id], habit != .stream else { return }
            connection.send(.body("end", end: true), on: id)
            end(connection, id)
        }
    }

    @Test(arguments: Array(1...6) as [UInt64])
    func nothingIsLostOrLeftOver(seed: UInt64) throws {
        var limits = Limits()
        limits.streamResetBurst = 100_000
        limits.connectionReceiveWindow = 256 * 1024
        limits.streamReceiveWindow = 64 * 1024
        var conditions = TransferTests.lossy
        conditions.loss = 0.02
        var applications: [ObjectIdentifier: Application] = [:]
        let simulation = try Simulation(limits: limits, conditions: conditions, seed: seed) {
            let application = applications[ObjectIdentifier($1)] ?? Application(seed)
            applications[ObjectIdentifier($1)] = application
            application.handle($0, $1, $2)
        }
        var generator = SeededGenerator(seed: seed &* 77)
        let clients = (0..<3).map { _ in simulation.connect() }
        for _ in 0..<150 {
            for client in clients { act(client, &generator) }
            simulation.run(for: Double.random(in: 0...0.02, using: &generator))
        }
        simulation.run(for: 12)
        #expect(clients.map(\.failure) == [0, 0, 0])
        // Uploads that never end, and applications that wait for them.
        for client in clients {
            for (id, response) in client.responses where response.closeCode == nil { client.reset(id) }
        }
        for connection in simulation.connections {
            for id in applications[ObjectIdentifier(connection)]?.habits.keys.map({ $0 }) ?? [] {
                connection.send(.reset(.cancelled), on: id)
                applications[ObjectIdentifier(connection)]?.end(connection, id)
            }
        }
        simulation.run(for: 5)
        for connection in simulation.connections { #expect(connection.credit.unconsumed == 0) }
        simulation.handler = { $0.echo($1, $2) }
        for client in clients where !client.isOver {
            let content = TransferTests.pattern(300_000)
            let id = client.request("POST", "/", upload: .init(pieces: content))
            #expect(simulation.run(for: 60) { client.responses[id]?.ended == true })
            #expect(client.responses[id]?.body == content)
        }
        #expect(simulation.run(for: 5) { simulation.connections.allSatisfy { $0.openStreams == 0 } })
        simulation.network.conditions.loss = 0
        simulation.endpoint.shutdown(now: simulation.now)
        #expect(simulation.run(for: 5) { simulation.endpoint.connectionCount == 0 })
        simulation.run(for: 1)
        #expect(clients.map(\.serverCloseCode) == Array(repeating: code(NGHTTP3_H3_NO_ERROR), count: 3))
    }

    private func act(_ client: HTTP3Client, _ generator: inout SeededGenerator) {
        let known = client.responses.keys.sorted()
        switch Int.random(in: 0..<10, using: &generator) {
        case 0..<4: client.request()
        case 4..<7:
            let count = Int.random(in: 0...100_000, using: &generator)
            let isComplete = Int.random(in: 0..<4, using: &generator) > 0
            client.request(
                "POST",
                "/",
                upload: .init(pieces: TransferTests.pattern(count), isComplete: isComplete)
            )
        case 7:
            if let id = known.randomElement(using: &generator), client.http != nil { client.reset(id) }
        case 8:
            if let id = known.randomElement(using: &generator), client.http != nil { client.stopReading(id) }
        default: break
        }
    }
}
