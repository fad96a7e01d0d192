import ApusGateway
import Glibc

/// An open file or directory, with what was true of it when it was opened.
final class OpenFile: Sendable {
    /// The bytes that one read gives at most.
    static let pieceSize = 64 * 1024

    let descriptor: Int32
    /// The number of bytes.
    let size: Int
    let modified: Timestamp
    private let mode: mode_t

    /// A moment of the wall clock.
    struct Timestamp: Equatable, Sendable {
        /// Since 1970.
        let seconds: Int
        let nanoseconds: Int
    }

    /// Takes the descriptor over; nil, and closed, where nothing can be learned about it.
    init?(descriptor: Int32) {
        self.descriptor = descriptor
        var status = stat()
        // The size is a peer's to see and this file system's to say: negative ones do not exist.
        let known = fstat(descriptor, &status) == 0 && status.st_size >= 0
        size = Int(status.st_size)
        modified = Timestamp(seconds: status.st_mtim.tv_sec, nanoseconds: status.st_mtim.tv_nsec)
        mode = status.st_mode
        if !known { return nil }
    }

    deinit {
        close(descriptor)
    }

    var isDirectory: Bool { mode & S_IFMT == S_IFDIR }

    var isRegularFile: Bool { mode & S_IFMT == S_IFREG }

    /// A path that leads to this very file for as long as this object lives, even where its name is gone.
    var descriptorPath: String { "/proc/self/fd/\(descriptor)" }

    /// Whether the system has such paths: not where `/proc` is not mounted.
    static func descriptorPathsExist() -> Bool {
        access("/proc/self/fd", X_OK) == 0
    }

    /// Reads all bytes of a range.
    ///
    /// - Throws: ``Unreadable`` where the file has become shorter, or its device fails.
    func read(_ range: Range<Int>) throws -> Bytes {
        try Bytes(count: range.count) { room in
            var filled = 0
            while filled < room.count {
                let rest = UnsafeMutableRawBufferPointer(rebasing: room[filled...])
                let count = pread(descriptor, rest.baseAddress, rest.count, range.lowerBound + filled)
                let code = errno
                if count > 0 {
                    filled += count
                } else if count == 0 || code != EINTR {
                    throw Unreadable()
                }
            }
        }
    }

    /// A file did not have the bytes that it had when it was opened.
    struct Unreadable: Error, CustomStringConvertible {
        var description: String { "the file became shorter or unreadable while it was sent" }
    }
}
