/// What a fuzzer may throw bytes at. Each target reads its input as a script: any bytes are one.
package enum FuzzTarget: String, CaseIterable, Sendable {
    /// A WebSocket's framing: frames, time, the application and the driver, all as the input says.
    case connection
    /// Compression by itself, both ways.
    case inflation
    /// The fields of an opening request.
    case handshake

    /// Runs one input.
    ///
    /// - Throws: What the input has shown to be wrong, where nothing has trapped.
    package func run(_ bytes: [UInt8]) throws(FuzzFinding) {
        switch self {
        case .connection: try ConnectionFuzz.run(bytes)
        case .inflation: try InflationFuzz.run(bytes)
        case .handshake: try HandshakeFuzz.run(bytes)
        }
    }
}

/// A promise that an input has shown not to be kept.
package struct FuzzFinding: Error, CustomStringConvertible {
    package let description: String

    init(_ description: String) {
        self.description = description
    }
}

/// Fails the run where a promise is not kept.
func promise(_ isKept: Bool, _ promise: @autoclosure () -> String) throws(FuzzFinding) {
    guard isKept else { throw FuzzFinding("not kept: \(promise())") }
}
