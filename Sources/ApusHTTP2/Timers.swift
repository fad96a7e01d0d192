import ApusHTTP

/// What a connection waits for, each until its own time.
///
/// The times of what comes and goes with every request, ``idle`` and ``stall``, stay where they are until they are due,
/// and are looked at only then: a driver need not move its timer with each request.
struct Timers {
    /// Until when the preface, SETTINGS and the head of the first request have to come.
    private(set) var firstRequest: Instant?
    /// Until when the header block that has begun has to be complete.
    private(set) var headerBlock: Instant?
    /// The stream of that block.
    private var headerBlockStream: Int32?
    /// When to look whether the connection has been without streams for too long.
    var idle: Instant?
    /// Since when the connection has no streams.
    var idleSince: Instant?
    /// When to look for streams that wait for the peer's window.
    var stall: Instant?
    /// When the second GOAWAY goes out.
    var finalGoaway: Instant?

    init(limits: Limits, now: Instant) {
        firstRequest = now + .seconds(limits.headTimeout)
    }

    mutating func firstRequestHasCome() {
        firstRequest = nil
    }

    /// Says whose header block is unfinished, if any is; every block has its own time, from when it was first seen.
    mutating func headerBlockIsOpen(on stream: Int32?, until due: Instant) {
        guard stream != headerBlockStream else { return }
        headerBlockStream = stream
        headerBlock = stream == nil ? nil : due
    }

    /// The first of all times.
    var earliest: Instant? {
        var earliest = firstRequest ?? .distantFuture
        if let headerBlock { earliest = min(earliest, headerBlock) }
        if let idle { earliest = min(earliest, idle) }
        if let stall { earliest = min(earliest, stall) }
        if let finalGoaway { earliest = min(earliest, finalGoaway) }
        return earliest == .distantFuture ? nil : earliest
    }
}
