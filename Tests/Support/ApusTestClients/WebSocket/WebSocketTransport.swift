import ApusHTTP

/// The bytes of one WebSocket both ways, whatever opened it. Calls block their thread, no longer than told.
package protocol WebSocketTransport: AnyObject {
    /// The answer that opened it.
    var opening: WebSocketOpening { get }

    /// Sends each piece on its own: as a write to the socket, or as a DATA frame.
    func send(_ pieces: [[UInt8]], until deadline: Instant) throws

    /// Waits for something to come.
    func receive(until deadline: Instant) throws -> WebSocketInput

    /// Ends our half: with the FIN, or END_STREAM.
    func end(until deadline: Instant) throws

    /// Breaks the connection or the stream off.
    func reset(until deadline: Instant) throws
}

/// What comes through a WebSocket's transport.
package enum WebSocketInput: Sendable, Equatable {
    case bytes([UInt8])
    /// The server's half is over in order.
    case end
    /// The server has broken it off.
    case reset
}

/// How a server has answered the wish for a WebSocket.
package struct WebSocketOpening: Sendable {
    /// 101 or 200.
    package let status: Int
    /// Names in lower case.
    package let fields: [(name: String, value: String)]

    package subscript(name: String) -> String? {
        fields.first { $0.name == name }?.value
    }
}

/// Opens WebSockets at a server; on HTTP/2 and HTTP/3 all of them on one connection.
package protocol WebSocketConnector: AnyObject {
    /// Asks for a WebSocket, and waits for the answer.
    ///
    /// - Parameter offer: The value of `sec-websocket-extensions`.
    /// - Throws: ``ClientFailure`` where the answer is not the one that opens.
    func open(_ path: String, offer: String?, until deadline: Instant) throws -> any WebSocketTransport

    /// The status and the body that answer an ordinary request beside the WebSockets.
    func get(_ path: String, until deadline: Instant) throws -> (status: Int, body: [UInt8])
}
