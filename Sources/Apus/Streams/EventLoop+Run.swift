import ApusTransport

extension EventLoop {
    /// Runs work on the loop's thread: now where this is that thread, else in a later turn.
    ///
    /// - Returns: false where the loop has ended; the work will not run then.
    func runOnLoop(_ work: @escaping @Sendable () -> Void) -> Bool {
        guard isOnLoop else { return submit(work) }
        work()
        return true
    }
}
