import ApusTransport
import Glibc

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

    /// Takes over the descriptors of what ``encoded`` gave in another process; where this fails, they are closed.
    ///
    /// - Throws: ``StateError``, or `SystemError` where a descriptor is no socket of ours.
    package init(encoded: [UInt8], descriptors: [Int32]) throws {
        // Those that have become sockets close themselves.
        var rest = descriptors[...]
        do {
            entries = try Self.entries(encoded, &rest)
        } catch {
            for descriptor in rest { close(descriptor) }
            throw error
        }
    }

    private static func entries(_ encoded: [UInt8], _ descriptors: inout ArraySlice<Int32>) throws -> [Entry] {
        var reader = StateReader(encoded)
        guard try reader.count() == descriptors.count else { throw StateError() }
        var entries: [Entry] = []
        while let descriptor = descriptors.first {
            let (place, isSecure, isShared) = (try reader.number(), try reader.flag(), try reader.flag())
            let socket = try BoundSocket(inherited: descriptor)
            descriptors.removeFirst()
            entries.append(Entry(place: place, isSecure: isSecure, isShared: isShared, socket: socket))
        }
        try reader.finish()
        return entries
    }
}
