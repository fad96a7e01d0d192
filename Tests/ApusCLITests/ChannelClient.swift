import ApusGateway
import Synchronization

/// A client of an application without a server between: what it says is received, and what it is sent, it reads.
///
/// It takes no more than its window at a time, so that a send waits as it does for a real client.
final class ChannelClient: EventChannel {
    private struct State {
        var incoming: [ReceiveEvent] = []
        var outgoing: [SendEvent] = []
        var window: Int
        var end: ReceiveEvent?
        /// Those who wait until something has changed.
        var waiting: [@Sendable () -> Void] = []
    }

    private let state: Mutex<State>

    /// - Parameter window: Events that may be sent before the client reads.
    init(_ incoming: [ReceiveEvent] = [.webSocketConnect], window: Int = .max) {
        state = Mutex(State(incoming: incoming, window: window))
    }

    // MARK: - The application's side

    func receive() async throws -> ReceiveEvent {
        await whenReady { state in
            if !state.incoming.isEmpty { return state.incoming.removeFirst() }
            return state.end
        }
    }

    func send(_ event: SendEvent) async throws {
        let isSent = await whenReady { state -> Bool? in
            if state.end != nil { return false }
            guard state.outgoing.count < state.window else { return nil }
            state.outgoing.append(event)
            return true
        }
        if !isSent { throw ClientDisconnected() }
    }

    // MARK: - The client's side

    func say(_ text: String) {
        change { $0.incoming.append(.webSocketReceive(.text(text))) }
    }

    func say(_ bytes: Bytes) {
        change { $0.incoming.append(.webSocketReceive(.binary(bytes))) }
    }

    func leave() {
        change { $0.end = .webSocketDisconnect(code: .goingAway, reason: "") }
    }

    /// Waits for the next event that is sent, in few words.
    func read() async -> String {
        let event = await whenReady { state in state.outgoing.isEmpty ? nil : state.outgoing.removeFirst() }
        switch event {
        case .webSocketAccept(let subprotocol, _, _): return "accept \(subprotocol ?? "-")"
        case .webSocketSend(.text(let text), more: false): return text
        case .webSocketSend(.binary(let bytes), more: false): return "\(Array(bytes))"
        case .webSocketClose(let code, let reason): return "close \(code) \(reason)"
        case .responseStart(let status, _, _): return "start \(status)"
        case .responseBody(let bytes, _): return "body \(bytes)"
        default: return "\(event)"
        }
    }

    /// Waits for so many events.
    func read(_ count: Int) async -> [String] {
        var all: [String] = []
        for _ in 0..<count { all.append(await read()) }
        return all
    }

    /// What is sent and not read yet.
    var unread: Int { state.withLock { $0.outgoing.count } }

    // MARK: - Waiting

    private func change(_ body: (inout State) -> Void) {
        let waiting = state.withLock { state in
            body(&state)
            defer { state.waiting = [] }
            return state.waiting
        }
        for wake in waiting { wake() }
    }

    /// Tries now and after each change, until there is a result: which is a change too.
    private func whenReady<Result: Sendable>(_ body: (inout State) -> Result?) async -> Result {
        while true {
            let result: Result? = await withCheckedContinuation { continuation in
                let (result, waiting) = state.withLock { state -> (Result?, [@Sendable () -> Void]) in
                    guard let result = body(&state) else {
                        state.waiting.append { continuation.resume(returning: nil) }
                        return (nil, [])
                    }
                    defer { state.waiting = [] }
                    return (result, state.waiting)
                }
                if let result { continuation.resume(returning: result) }
                for wake in waiting { wake() }
            }
            if let result { return result }
        }
    }
}
