import ApusTransport
import Glibc
import Synchronization

/// What people read while a server runs.
///
/// Where it is a pipe or a socket that nobody reads, the server goes on: what cannot be written for a while is lost, and
/// from then on nobody waits, until somebody reads again.
package enum StandardError {
    /// How often, and for how many milliseconds each time, a line waits for whoever reads.
    private static let waits: (count: Int, milliseconds: Int32) = (5, 50)
    /// Whether the last line had waited in vain.
    private static let isStuck = Atomic<Bool>(false)

    /// Writes a line in one piece, so that lines of several threads do not mix.
    package static func writeLine(_ line: String) {
        write(Array((line + "\n").utf8))
    }

    /// Writes everything; gives up without a word where nobody can be told.
    static func write(_ bytes: [UInt8]) {
        bytes.withUnsafeBytes { bytes in
            var rest = bytes[...]
            var waitsLeft = isStuck.load(ordering: .relaxed) ? 0 : waits.count
            while !rest.isEmpty {
                let count = Descriptors.writeNow(STDERR_FILENO, UnsafeRawBufferPointer(rebasing: rest))
                if count > 0 {
                    rest = rest.dropFirst(count)
                } else if count == -Int(EAGAIN), waitsLeft > 0 {
                    waitsLeft -= 1
                    waitForReader(atMost: waits.milliseconds)
                } else if count != -Int(EINTR) {
                    return isStuck.store(count == -Int(EAGAIN), ordering: .relaxed)
                }
            }
            isStuck.store(false, ordering: .relaxed)
        }
    }

    private static func waitForReader(atMost milliseconds: Int32) {
        var entry = pollfd(fd: STDERR_FILENO, events: Int16(POLLOUT), revents: 0)
        poll(&entry, 1, milliseconds)
    }
}
