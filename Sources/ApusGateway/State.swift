import Synchronization

/// What an application prepared at its startup, as every request sees it: values by name.
public struct State: Sendable {
    private var values: [String: any Sendable] = [:]

    public init() {}

    /// The value under a name; nil where there is none or it is of another type.
    public subscript<Value: Sendable>(name: String, as type: Value.Type = Value.self) -> Value? {
        get { values[name] as? Value }
        set { values[name] = newValue }
    }

    /// The names that there are values under, sorted.
    public var names: [String] { values.keys.sorted() }
}

/// The state while the application starts: written on the lifespan scope, handed to requests once startup is complete.
public final class LifespanState: Sendable {
    private let values = Mutex(State())

    public init() {}

    /// The value under a name.
    public subscript<Value: Sendable>(name: String, as type: Value.Type = Value.self) -> Value? {
        get { values.withLock { $0[name, as: type] } }
        set { values.withLock { $0[name, as: type] = newValue } }
    }

    /// The values of this moment, for the requests to come.
    package var snapshot: State {
        values.withLock { $0 }
    }
}
