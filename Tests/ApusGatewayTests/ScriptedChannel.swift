import ApusGateway
import Synchronization

/// A channel whose client is the test: it says what is received, and sees what was sent.
///
/// An end is received for ever. Once it was, or a close was sent, nothing more can be sent.
final class ScriptedChannel: EventChannel {
    private struct State {
        var script: [ReceiveEvent]
        var receiveCount = 0
        var sent: [SendEvent] = []
        var isClosed = false
        var waiting: CheckedContinuation<Void, Never>?
    }

    private let state: Mutex<State>

    /// - Parameter script: What is received, the end included.
    init(_ script: [ReceiveEvent]) {
        state = Mutex(State(script: script))
    }

    func receive() async throws -> ReceiveEvent {
        await untilThereIsMore()
        return state.withLock { state in
            state.receiveCount += 1
            let event = state.script[0]
            if case .webSocketDisconnect = event { state.isClosed = true } else { state.script.removeFirst() }
            return event
        }
    }

    func send(_ event: SendEvent) async throws {
        try state.withLock { state in
            if state.isClosed { throw ClientDisconnected() }
            if case .webSocketClose = event { state.isClosed = true }
            state.sent.append(event)
        }
    }

    /// Lets a receive that waits, or the next one, have more.
    func add(_ event: ReceiveEvent) {
        let waiting = state.withLock { state in
            state.script.append(event)
            defer { state.waiting = nil }
            return state.waiting
        }
        waiting?.resume()
    }

    private func untilThereIsMore() async {
        await withCheckedContinuation { continuation in
            let isThere = state.withLock { state in
                if state.script.isEmpty { state.waiting = continuation }
                return !state.script.isEmpty
            }
            if isThere { continuation.resume() }
        }
    }

    /// How many events were taken.
    var receiveCount: Int { state.withLock { $0.receiveCount } }

    /// The events that were sent, each in few words.
    var sent: [String] { state.withLock { $0.sent.map { Self.words(for: $0) } } }

    private static func words(for event: SendEvent) -> String {
        switch event {
        case .webSocketAccept(let subprotocol, let headers, let delivery):
            "accept \(subprotocol ?? "-") \(headers.map { "\($0.name): \($0.value)" }) \(delivery)"
        case .webSocketSend(.text(let text), more: false): "text \(text)"
        case .webSocketSend(.binary(let bytes), more: false): "binary \(Array(bytes))"
        case .webSocketClose(let code, let reason): "close \(code) \(reason)"
        case .responseStart(let status, let headers, trailers: false):
            "start \(status) \(headers.map { "\($0.name): \($0.value)" })"
        case .responseBody(let bytes, more: false): "body \(bytes)"
        default: "\(event)"
        }
    }
}
