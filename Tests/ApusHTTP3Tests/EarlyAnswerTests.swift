import ApusGateway
import ApusHTTP
import ApusHTTP3
import ApusTestClients
import CNghttp3
import Testing

@Suite struct EarlyAnswerTests {
    private static let window = 2048
    private static let drained = 16 * 1024

    /// A client whose request was answered in full and goes on.
    private struct Answered {
        let simulation: Simulation
        let client: HTTP3Client
        let id: Int64

        init(
            _ limits: Limits = Limits(),
            upload: HTTP3Client.Upload = .init(pieces: [1, 2, 3], isComplete: false)
        ) throws {
            simulation = try Simulation(limits: limits)
            let client = simulation.connect()
            self.client = client
            let id = client.request("POST", "/", upload: upload)
            self.id = id
            #expect(simulation.run { client.responses[id]?.ended == true })
            #expect(client.responses[id]?.body == Array("Hello, World!".utf8))
        }

        var openStreams: Int? { simulation.connections.first?.openStreams }
    }

    // Credit goes out when half of a window has come together, so that this half is neither within nor past the limit.
    @Test(arguments: [drained + window / 2, drained + window + 1])
    func anUploadWithinTheLimitEndsByItselfAndALargerOneIsStopped(size: Int) throws {
        var limits = Limits()
        limits.streamReceiveWindow = Self.window
        limits.maxDrainedBodySize = Self.drained
        let upload = HTTP3Client.Upload(pieces: [UInt8](repeating: 0, count: size))
        let answered = try Answered(limits, upload: upload)
        answered.simulation.run(for: 0.9)
        #expect(answered.openStreams == (size > Self.drained + Self.window ? 1 : 0))
        answered.simulation.run(for: 0.3)
        #expect(answered.openStreams == 0)
        #expect(!answered.client.isOver)
    }

    @Test(arguments: [0.25, 1, 3])
    func theStopWaitsForThePatience(patience: Double) throws {
        var limits = Limits()
        limits.earlyAnswerPatience = patience
        let answered = try Answered(limits)
        answered.simulation.run(for: patience - 0.1)
        #expect(answered.openStreams == 1)
        #expect(answered.client.responses[answered.id]?.closeCode == nil)
        answered.simulation.run(for: 0.2)
        #expect(answered.openStreams == 0)
        #expect(answered.client.responses[answered.id]?.closeCode == code(NGHTTP3_H3_NO_ERROR))
    }

    @Test func everyStreamHasItsOwnTime() throws {
        let answered = try Answered()
        answered.simulation.run(for: 0.5)
        answered.client.request("POST", "/", upload: .init(pieces: [1], isComplete: false))
        answered.simulation.run(for: 0.4)
        #expect(answered.openStreams == 2)
        answered.simulation.run(for: 0.4)
        #expect(answered.openStreams == 1)
        answered.simulation.run(for: 0.4)
        #expect(answered.openStreams == 0)
    }

    @Test(arguments: [true, false])
    func aStreamThatTheClientEndsMeanwhileIsOver(resets: Bool) throws {
        let answered = try Answered()
        answered.simulation.run(for: 0.5)
        if resets {
            answered.client.reset(answered.id)
        } else {
            answered.client.upload([4, 5], end: true, on: answered.id)
        }
        answered.simulation.run(for: 0.2)
        #expect(answered.openStreams == 0)
        // The look that was due finds nothing.
        answered.simulation.run(for: 1)
        #expect(!answered.client.isOver)
        let next = answered.client.request()
        #expect(answered.simulation.run { answered.client.responses[next]?.ended == true })
    }

    @Test func aShutdownWaitsForThePatienceAndNoLonger() throws {
        var limits = Limits()
        limits.lingerTimeout = 0.1
        let answered = try Answered(limits)
        answered.simulation.endpoint.shutdown(now: answered.simulation.now)
        answered.simulation.run(for: 0.9)
        #expect(!answered.client.isOver)
        answered.simulation.run(for: 0.4)
        #expect(answered.client.isOver)
        #expect(answered.client.serverCloseCode == code(NGHTTP3_H3_NO_ERROR))
        #expect(answered.simulation.ended.first?.connectionError == nil)
    }
}
