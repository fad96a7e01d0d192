import ApusGateway
import ApusHTTP
import ApusHTTP3
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
}
