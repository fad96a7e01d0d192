import Synchronization
import Testing

/// Values that one task gives and another awaits, in order.
final class Mailbox<Value: Sendable>: Sendable {
    private let stream: AsyncStream<Value>
    private let continuation: AsyncStream<Value>.Continuation

    init() {
        (stream, continuation) = AsyncStream.makeStream()
    }

    func put(_ value: Value) {
        continuation.yield(value)
    }

    func next() async throws -> Value {
        var found: Value?
        for await value in stream {
            found = value
            break
        }
        return try #require(found)
    }
}

/// A gate that opens once; whoever waits before it goes on then, whoever comes later passes.
final class Gate: Sendable {
    private struct State {
        var isOpen = false
        var waiting: [CheckedContinuation<Void, Never>] = []
    }

    private let state = Mutex(State())

    func open() {
        let waiting = state.withLock { state in
            state.isOpen = true
            defer { state.waiting = [] }
            return state.waiting
        }
        for continuation in waiting { continuation.resume() }
    }

    /// Waits whether or not the task is cancelled.
    func wait() async {
        await withCheckedContinuation { continuation in
            let isOpen = state.withLock { state in
                if !state.isOpen { state.waiting.append(continuation) }
                return state.isOpen
            }
            if isOpen { continuation.resume() }
        }
    }
}

/// Counts what happens elsewhere.
final class Counter: Sendable {
    private let count = Atomic<Int>(0)

    var value: Int { count.load(ordering: .relaxed) }

    func add(_ amount: Int = 1) {
        count.add(amount, ordering: .relaxed)
    }
}

/// Remembers an object without keeping it.
final class WeakBox<Object: AnyObject & Sendable>: Sendable {
    private struct Reference {
        weak var object: Object?
    }

    private let reference = Mutex(Reference())

    var isEmpty: Bool { reference.withLock { $0.object == nil } }

    func set(_ object: Object) {
        reference.withLock { $0.object = object }
    }
}

/// Expects that a condition that nobody announces comes true within some seconds.
func expectEventually(
    sourceLocation: SourceLocation = #_sourceLocation,
    _ condition: () throws -> Bool
) async throws {
    for _ in 0..<6000 {
        if try condition() { return }
        try await Task.sleep(for: .milliseconds(5))
    }
    Issue.record("this did not come true", sourceLocation: sourceLocation)
}

/// Waits until a number has stopped to change while the server answered many other requests.
func settled(_ fixture: ServerFixture, _ value: () -> Int) async throws -> Int {
    var last = -1
    var unchanged = 0
    while unchanged < 20 {
        _ = try await fixture.get("/ping")
        let now = value()
        unchanged = now == last ? unchanged + 1 : 0
        last = now
    }
    return last
}

/// Random numbers that are the same in every run.
struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
