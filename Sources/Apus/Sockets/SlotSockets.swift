import ApusTransport

/// The sockets that one slot reads: its own of every group, and those that all slots share.
package struct SlotSockets: Sendable {
    package struct Entry: Sendable {
        /// Which place of the configuration it belongs to: the secure ones first, then the insecure ones.
        package let place: Int
        /// Whether the place speaks TLS.
        package let isSecure: Bool
        /// Whether the other slots have the same socket.
        package let isShared: Bool
        package let socket: BoundSocket

        package init(place: Int, isSecure: Bool, isShared: Bool, socket: BoundSocket) {
            self.place = place
            self.isSecure = isSecure
            self.isShared = isShared
            self.socket = socket
        }
    }

    package let entries: [Entry]

    package init(entries: [Entry]) {
        self.entries = entries
    }

    // MARK: - For another process

    /// All but the sockets themselves.
    package var encoded: [UInt8] {
        var writer = StateWriter()
        writer.append(entries.count)
        for entry in entries {
            writer.append(entry.place)
            writer.append(entry.isSecure)
            writer.append(entry.isShared)
        }
        return writer.bytes
    }

    /// The sockets, in the order of ``encoded``.
    package var descriptors: [Int32] { entries.map(\.socket.descriptor) }

    /// Takes over the descriptors of what ``encoded`` gave in another process.
    ///
    /// - Throws: ``StateError``, or `SystemError` where a descriptor is no socket of ours.
    package init(encoded: [UInt8], descriptors: [Int32]) throws {
        var reader = StateReader(encoded)
        guard try reader.count() == descriptors.count else { throw StateError() }
        var entries: [Entry] = []
        for descriptor in descriptors {
            entries.append(
                Entry(
                    place: try reader.number(),
                    isSecure: try reader.flag(),
                    isShared: try reader.flag(),
                    socket: try BoundSocket(inherited: descriptor)
                )
            )
        }
        try reader.finish()
        self.entries = entries
    }
}
