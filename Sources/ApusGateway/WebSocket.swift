import Synchronization

/// A WebSocket that its application has accepted: messages to iterate over, and messages to send.
///
/// ```swift
/// guard case .webSocket = scope else { return }
/// let socket = try await WebSocket.accept(receive, send)
/// for try await message in socket {
///     try await socket.send(message)
/// }
/// ```
///
/// It stands on the events of ASGI's `websocket` scope (www 2.5, WebSocket) and keeps nothing of its own but how it
/// ended: each step of the iteration is one ``Receive``, so that a peer can send no more than is taken, and each `send`
/// is one ``Send``, which suspends while the peer does not take what was sent. Pings, pongs and the fragments of a
/// message are the server's affair. Where a message need not sit in memory whole, the events themselves with
/// ``WebSocketDelivery/fragments`` are the way.
///
/// Any task may send while one iterates; concurrent sends are kept in the order of their arrival. An application that
/// returns closes with ``WebSocketCloseCode/normalClosure``, and one that throws with
/// ``WebSocketCloseCode/internalError``, if it is still open.
public final class WebSocket: Sendable {
    /// The subprotocol that the application chose; nil for none.
    public let subprotocol: String?
    private let receiveEvent: Receive
    private let sendEvent: Send
    /// How it ended; nil until the iteration has come to it.
    private let ending = Mutex<(code: WebSocketCloseCode, reason: String)?>(nil)

    private init(subprotocol: String?, receive: Receive, send: Send) {
        self.subprotocol = subprotocol
        receiveEvent = receive
        sendEvent = send
    }

    // MARK: - Opening

    /// Waits for the client's wish to connect and grants it (`websocket.connect`, `websocket.accept`).
    ///
    /// - Parameters:
    ///   - receive: The scope's handle, from which nothing was received yet.
    ///   - send: The scope's handle, to which nothing was sent yet.
    ///   - subprotocol: One of ``WebSocketScope/subprotocols``, or nil for none.
    ///   - headers: Fields of the answer; none of those that belong to the handshake (`sec-websocket-…`).
    /// - Throws: ``ClientDisconnected`` when the client has left; ``ContractViolation`` on another scope, or for a
    ///   subprotocol or field that may not be.
    public static func accept(
        _ receive: Receive,
        _ send: Send,
        subprotocol: String? = nil,
        headers: Headers = [:]
    ) async throws -> WebSocket {
        switch try await receive() {
        case .webSocketConnect: break
        case .webSocketDisconnect, .disconnect: throw ClientDisconnected()
        default: throw ContractViolation("only a WebSocket scope that nothing was received from can be accepted")
        }
        try await send(.webSocketAccept(subprotocol: subprotocol, headers: headers))
        return WebSocket(subprotocol: subprotocol, receive: receive, send: send)
    }

    /// Answers an opening with a line of text in place of the acceptance (`websocket.http.response`), and a request that
    /// should have been one likewise.
    ///
    /// - Parameters:
    ///   - send: The scope's handle, to which nothing was sent yet.
    ///   - status: 400 to 599; a browser does not tell its pages.
    ///   - text: For people who ask with another client.
    public static func deny(_ send: Send, status: Int, _ text: String = "") async throws {
        let body = text.isEmpty ? Bytes() : Bytes(text + "\n")
        var headers: Headers = ["content-length": String(body.count)]
        if !body.isEmpty { headers.append("content-type", "text/plain; charset=utf-8") }
        try await send(.responseStart(status: status, headers: headers))
        try await send(.responseBody(body))
    }

    // MARK: - Sending

    /// Sends a message (`websocket.send`); returns when it is on its way, or queued below the high-water mark.
    ///
    /// - Throws: ``ClientDisconnected`` once the WebSocket is closed, by whichever side.
    public func send(_ message: WebSocketMessage) async throws {
        try await sendEvent(.webSocketSend(message))
    }

    /// Sends text; see ``send(_:)-(WebSocketMessage)``.
    public func send(_ text: String) async throws {
        try await send(.text(text))
    }

    /// Sends bytes; see ``send(_:)-(WebSocketMessage)``.
    public func send(_ bytes: Bytes) async throws {
        try await send(.binary(bytes))
    }

    // MARK: - The end

    /// Closes the WebSocket behind what was sent (`websocket.close`); does nothing where it is closed already.
    ///
    /// What the peer has still to say is thrown away; the iteration then ends with the peer's answer.
    ///
    /// - Parameters:
    ///   - code: One that may be sent (``WebSocketCloseCode/isSendable``).
    ///   - reason: At most 123 bytes of UTF-8 (RFC 6455 §5.5).
    /// - Throws: ``ContractViolation`` for a code or reason that may not be.
    public func close(_ code: WebSocketCloseCode = .normalClosure, reason: String = "") async throws {
        do {
            try await sendEvent(.webSocketClose(code: code, reason: reason))
        } catch is ClientDisconnected {
            return
        }
    }

    /// Why it ended, once the iteration has: the peer's code, ``WebSocketCloseCode/noStatusReceived`` where it gave
    /// none, ``WebSocketCloseCode/abnormalClosure`` where it left without a word. Nil before.
    public var closeCode: WebSocketCloseCode? { ending.withLock { $0?.code } }

    /// The peer's words about why it ended, once the iteration has; empty where it gave none. Nil before.
    public var closeReason: String? { ending.withLock { $0?.reason } }
}

extension WebSocket: AsyncSequence {
    /// Gives the messages that come from now on; one task at a time may iterate.
    public func makeAsyncIterator() -> Iterator {
        Iterator(socket: self)
    }

    /// The messages of a WebSocket, until it is closed.
    public struct Iterator: AsyncIteratorProtocol {
        fileprivate let socket: WebSocket

        /// Waits for the next message; nil once the WebSocket is closed, in whatever way (``WebSocket/closeCode``).
        ///
        /// - Throws: ``ContractViolation`` when another task iterates; `CancellationError` when the task is cancelled
        ///   while it waits.
        public mutating func next(isolation actor: isolated (any Actor)?) async throws -> WebSocketMessage? {
            try await socket.nextMessage()
        }
    }

    private func nextMessage() async throws -> WebSocketMessage? {
        switch try await receiveEvent() {
        case .webSocketReceive(let message, more: false): return message
        case .webSocketDisconnect(let code, let reason):
            ending.withLock { $0 = (code, reason) }
            return nil
        default: throw ContractViolation("a WebSocket scope has messages and one end, and nothing else to receive")
        }
    }
}
