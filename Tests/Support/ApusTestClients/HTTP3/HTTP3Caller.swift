import ApusGateway
import ApusHTTP

/// An HTTP/3 client with a real socket, which it may change for another in the middle of a connection, as a NAT does that
/// has forgotten it: the client does not know, the server sees another port.
package final class HTTP3Caller {
    package let client: HTTP3Client
    private var socket: ClientSocket
    private var output: [[UInt8]] = []

    package init(server: SocketAddress, options: HTTP3Client.Options = .init()) throws {
        socket = try ClientSocket(.udp, to: server)
        client = HTTP3Client(local: socket.local, remote: server, now: .now, options: options)
    }

    deinit {
        close()
    }

    /// Ends the connection.
    package func close() {
        guard !client.isOver else { return }
        _ = try? socket.send(client.close(now: .now)[...])
    }

    /// Goes on from another port; what comes to the old one is lost.
    package func changePort() throws {
        socket = try ClientSocket(.udp, to: socket.remote)
    }

    /// Asks, and waits for the whole answer.
    package func get(_ path: String = "/", until deadline: Instant) throws -> HTTP3Client.Response {
        let id = client.request("GET", path)
        try run(until: deadline, "an answer") { client.responses[id]?.ended == true }
        return client.responses[id] ?? HTTP3Client.Response()
    }

    /// Carries datagrams to and fro until the condition holds.
    package func run(until deadline: Instant, _ what: String, _ condition: () -> Bool) throws {
        while true {
            client.handleTimeout(now: .now)
            if output.isEmpty { output = client.packets(now: .now) }
            while let packet = output.first, try socket.send(packet[...]) > 0 { output.removeFirst() }
            if output.isEmpty, condition() { return }
            guard !client.isOver else { throw ClientFailure("the connection ended before \(what) came") }
            let now = Instant.now
            guard now < deadline else { throw ClientFailure("\(what) did not come") }
            _ = socket.wait(output: !output.isEmpty, until: min(deadline, Instant(nanoseconds: client.expiry)))
            while case .bytes(let datagram) = try socket.receive() { client.receive(datagram, now: .now) }
        }
    }
}
