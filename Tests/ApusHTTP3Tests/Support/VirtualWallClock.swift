import Synchronization

/// The time of day, which tests move.
final class VirtualWallClock: Sendable {
    private let time = Mutex<UInt64>(1_700_000_000_000_000_000)

    /// Nanoseconds since 1970.
    var nanoseconds: UInt64 { time.withLock { $0 } }

    func advance(by nanoseconds: UInt64) {
        time.withLock { $0 += nanoseconds }
    }
}
