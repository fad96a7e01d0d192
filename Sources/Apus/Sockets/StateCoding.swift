/// Bytes for another process of the same executable: numbers, texts and blobs, one after the other.
struct StateWriter {
    private(set) var bytes: [UInt8] = []

    mutating func append(_ number: Int) {
        for shift in stride(from: 56, through: 0, by: -8) {
            bytes.append(UInt8(truncatingIfNeeded: number >> shift))
        }
    }

    mutating func append(_ flag: Bool) {
        append(flag ? 1 : 0)
    }

    mutating func append(_ blob: [UInt8]) {
        append(blob.count)
        bytes += blob
    }

    mutating func append(_ text: String) {
        append(Array(text.utf8))
    }
}

/// Reads what a ``StateWriter`` wrote, in the same order.
struct StateReader {
    private var rest: ArraySlice<UInt8>

    init(_ bytes: [UInt8]) {
        rest = bytes[...]
    }

    mutating func number() throws(StateError) -> Int {
        guard rest.count >= 8 else { throw StateError() }
        defer { rest = rest.dropFirst(8) }
        return rest.prefix(8).reduce(0) { $0 << 8 | Int($1) }
    }

    /// A number that counts something of which each takes at least a byte of what follows.
    mutating func count() throws(StateError) -> Int {
        let count = try number()
        guard count >= 0, count <= rest.count else { throw StateError() }
        return count
    }

    mutating func flag() throws(StateError) -> Bool {
        try number() != 0
    }

    mutating func blob() throws(StateError) -> [UInt8] {
        let count = try count()
        defer { rest = rest.dropFirst(count) }
        return Array(rest.prefix(count))
    }

    mutating func text() throws(StateError) -> String {
        String(decoding: try blob(), as: UTF8.self)
    }

    /// To be called last: nothing may follow.
    func finish() throws(StateError) {
        guard rest.isEmpty else { throw StateError() }
    }
}

/// What another process has handed over is of another version, or not whole.
package struct StateError: Error, CustomStringConvertible {
    package var description: String { "the state that was handed over cannot be read" }
}
