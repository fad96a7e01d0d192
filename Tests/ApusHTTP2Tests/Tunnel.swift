import ApusGateway
import ApusHTTP
import ApusHTTP2
import ApusTestClients

/// How tests open a WebSocket by extended CONNECT (RFC 8441).
enum Tunnel {
    static let fields = [
        (":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "https"), (":authority", "example.org"),
        (":path", "/chat?a=b"),
    ]

    static var accept: ResponseEvent {
        .head(ResponseHead(status: 200, headers: [:], opensTunnel: true))
    }

    /// A connection that serves WebSockets; opened, where its peer has not reset them before.
    static func serving(_ limits: Limits = Limits(), window: UInt32? = nil) -> Harness {
        let harness = Harness(limits: limits, window: window, webSockets: true)
        harness.run()
        return harness
    }

    /// Asks for a WebSocket.
    static func ask(_ harness: Harness, _ fields: [(String, String)] = fields, ends: Bool = false) -> Int32 {
        let id = harness.client.request(fields: fields, body: ends ? nil : [], ends: ends)
        harness.run()
        return id
    }

    /// Asks for a WebSocket, and accepts it.
    static func open(_ harness: Harness) -> Int32 {
        let id = ask(harness)
        harness.send(accept, on: id)
        harness.run()
        return id
    }
}
