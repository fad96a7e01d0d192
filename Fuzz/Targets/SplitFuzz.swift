import ApusHTTP

/// However a peer's bytes are cut, and whether the application waits or not, the same messages come of them.
enum SplitFuzz {
    static func run(_ wire: [UInt8], _ setup: FuzzSetup) throws(FuzzFinding) {
        let whole = try conversation(wire, setup, pieces: .max, waits: true)
        // Cuts at every byte take their time, and all kinds of cuts with every input would take most of it.
        let pieces = wire.count & 2 == 0 ? (wire.count > 4096 ? 61 : 1) : 4093
        let other = try conversation(wire, setup, pieces: pieces, waits: wire.count & 1 == 0)
        try promise(other.received == whole.received, "cuts change no message")
        try promise(other.closeCode == whole.closeCode, "cuts change no close code")
        try promise(other.isOver == whole.isOver, "cuts change no end")
    }

    /// - Parameter waits: Whether the application waits all the time, or only where nothing moves otherwise.
    private static func conversation(
        _ wire: [UInt8],
        _ setup: FuzzSetup,
        pieces: Int,
        waits: Bool
    ) throws(FuzzFinding) -> FuzzApplication {
        let now = Instant(nanoseconds: 1)
        var application = FuzzApplication(setup, now: now)
        var position = 0
        while position < wire.count {
            let piece = wire[position..<position + min(pieces, wire.count - position)]
            application.connection.isAwaited = waits
            var used = try application.receive(piece, now)
            var taken = try application.take(.max)
            if used == 0, taken == 0 {
                application.connection.isAwaited = true
                used = try application.receive(piece, now)
                taken = try application.take(.max)
                try promise(used > 0 || taken > 0, "a connection whose application waits goes on")
            }
            position += used
        }
        try application.take(.max)
        // A fault behind the last message shows when another one is asked for.
        application.connection.isAwaited = true
        try application.take(.max)
        return application
    }
}
