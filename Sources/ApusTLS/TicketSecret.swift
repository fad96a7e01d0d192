/// What every process that may see a client's next connection must know, so that it understands the session tickets
/// of the others.
///
/// The keys of tickets are derived from it and change with the clock: who holds the same secret changes them at the
/// same moment, without a word. It is never written anywhere: no description shows it.
package struct TicketSecret: Sendable {
    package static let byteCount = 64

    package let bytes: [UInt8]

    /// A secret from elsewhere; nil: it has another size than ``byteCount``.
    package init?(bytes: [UInt8]) {
        guard bytes.count == Self.byteCount else { return nil }
        self.bytes = bytes
    }

    private init(generator: inout SystemRandomNumberGenerator) {
        bytes = (0..<Self.byteCount).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
    }

    /// A secret that nobody has had before.
    package static func random() -> TicketSecret {
        // The kernel's generator.
        var generator = SystemRandomNumberGenerator()
        return TicketSecret(generator: &generator)
    }
}

extension TicketSecret: CustomStringConvertible, CustomReflectable {
    package var description: String { "TicketSecret" }
    package var customMirror: Mirror { Mirror(self, children: []) }
}
