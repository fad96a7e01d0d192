/// When the connection's receive window is given back.
///
/// On receipt, as long as no more than a limit of body bytes waits for applications: one slow handler then does not
/// stall its siblings. Beyond that with consumption, so that the memory of a connection is bounded.
struct ReceiveCredit {
    private var limit: Int
    /// Body bytes that applications have not consumed.
    private(set) var unconsumed = 0
    /// Received bytes for which the window has not been opened again.
    private var owed = 0

    init(limit: Int) {
        self.limit = limit
    }

    /// Counts received body bytes; returns how far to open the window.
    mutating func receive(_ count: Int) -> Int {
        unconsumed += count
        owed += count
        return release()
    }

    /// Counts bytes that were consumed, or whose stream is gone; returns how far to open the window.
    mutating func consume(_ count: Int) -> Int {
        unconsumed -= min(count, unconsumed)
        return release()
    }

    /// Lets so many more bytes wait, or fewer again; returns how far to open the window.
    mutating func allow(_ more: Int) -> Int {
        limit += more
        return release()
    }

    private mutating func release() -> Int {
        let kept = min(owed, max(0, unconsumed - limit))
        let freed = owed - kept
        owed = kept
        return freed
    }
}
