import Glibc
import Synchronization

/// What people read while a server runs.
package enum StandardError {
    /// Writes a line in one piece, so that lines of several threads do not mix.
    package static func writeLine(_ line: String) {
        write(Array((line + "\n").utf8))
    }

    // MARK: - Without waiting for a reader

    /// How long a line may wait for somebody to read.
    private static let patienceMilliseconds: Int32 = 100
    /// What a pipe takes at once where poll says that it has room (pipe(7), PIPE_BUF).
    private static let pieceBytes = 4096
    /// Whether the last line found no reader in time: the next one does not wait.
    private static let isStalled = Atomic<Bool>(false)

    /// Writes a line, or drops it where nobody reads what came before: for a process that has others to look after.
    static func offerLine(_ line: String) {
        var rest = Array((line + "\n").utf8)[...]
        while !rest.isEmpty, hasRoom() {
            write(Array(rest.prefix(pieceBytes)))
            rest = rest.dropFirst(pieceBytes)
        }
    }

    private static func hasRoom() -> Bool {
        var entry = pollfd(fd: STDERR_FILENO, events: Int16(POLLOUT), revents: 0)
        let hasRoom = poll(&entry, 1, isStalled.load(ordering: .relaxed) ? 0 : patienceMilliseconds) > 0
        isStalled.store(!hasRoom, ordering: .relaxed)
        return hasRoom
    }

    // MARK: - Bytes

    /// Writes everything; gives up without a word where nobody can be told.
    static func write(_ bytes: [UInt8]) {
        bytes.withUnsafeBytes { bytes in
            var rest = bytes[...]
            while !rest.isEmpty {
                let count = Glibc.write(STDERR_FILENO, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
                let code = errno
                if count > 0 {
                    rest = rest.dropFirst(count)
                } else if code != EINTR {
                    return
                }
            }
        }
    }
}
