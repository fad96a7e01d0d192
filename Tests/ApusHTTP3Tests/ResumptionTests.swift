import ApusHTTP3
import ApusTestClients
import Testing

@Suite struct ResumptionTests {
    private func ticketKey(_ byte: UInt8) -> [UInt8] {
        [UInt8](repeating: byte, count: QUICServerCredentials.ticketKeySize)
    }

    /// One request on a connection of its own.
    private func visit(_ server: Simulation, offering session: [UInt8]? = nil) throws -> HTTP3Client {
        var options = HTTP3Client.Options()
        options.session = session
        let client = server.connect(options)
        let id = client.request()
        #expect(server.run { client.responses[id]?.ended == true && client.hasTicket })
        #expect(client.responses[id]?.status == 200)
        return client
    }

    private func session(of client: HTTP3Client) throws -> [UInt8] {
        try #require(client.session)
    }

    @Test func `a session is resumed by another server with the same ticket key`() throws {
        let first = try Simulation(ticketKey: ticketKey(1))
        let second = try Simulation(ticketKey: ticketKey(1))
        let stranger = try visit(first)
        #expect(!stranger.wasResumed)
        let returning = try visit(second, offering: session(of: stranger))
        #expect(returning.wasResumed)
        // The ticket of a resumed session is as good.
        #expect(try visit(first, offering: session(of: returning)).wasResumed)
    }

    @Test(arguments: [nil, 2 as UInt8])
    func `a server with another ticket key makes a full handshake`(byte: UInt8?) throws {
        let first = try Simulation(ticketKey: ticketKey(1))
        let second = try Simulation(ticketKey: byte.map(ticketKey))
        let session = try session(of: visit(first))
        #expect(try !visit(second, offering: session).wasResumed)
        #expect(try visit(first, offering: session).wasResumed)
    }

    @Test(arguments: [0, QUICServerCredentials.ticketKeySize - 1, QUICServerCredentials.ticketKeySize + 1])
    func `a ticket key of another size is refused`(size: Int) {
        #expect(throws: QUICCredentialError.self) {
            try TestCertificate.shared.credentials(ticketKey: [UInt8](repeating: 1, count: size))
        }
    }
}
