import ApusHTTP
import CApusShims
import Glibc

/// The few file operations that responses need.
package enum FileSystem {
    /// Opens a regular file for reading, whole.
    ///
    /// - Throws: ``SystemError``; `EISDIR` or `EINVAL` for what is not a regular file.
    package static func openRegularFile(_ path: String) throws(SystemError) -> FileRegion {
        // Non-blocking, so that a FIFO of that name does not hold the loop.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw .last("open") }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else {
            let error = SystemError.last("fstat")
            close(descriptor)
            throw error
        }
        guard status.st_mode & S_IFMT == S_IFREG else {
            close(descriptor)
            throw SystemError("open", code: status.st_mode & S_IFMT == S_IFDIR ? EISDIR : EINVAL)
        }
        return FileRegion(descriptor: descriptor, offset: 0, count: Int(status.st_size)) { Glibc.close($0) }
    }

    /// Fills all of `room` from an offset of an open file; false where the file ends before, or on an error.
    package static func read(_ descriptor: Int32, at offset: Int, into room: UnsafeMutableRawBufferPointer) -> Bool {
        var filled = 0
        while filled < room.count {
            let count = pread(
                descriptor,
                room.baseAddress.map { $0 + filled },
                room.count - filled,
                off_t(offset + filled)
            )
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { return false }
            filled += count
        }
        return true
    }
}

/// The time of day.
package enum WallClock {
    /// Seconds since 1970 (UTC), and nanoseconds into the second.
    package static func now() -> (seconds: Int64, nanoseconds: UInt64) {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return (Int64(time.tv_sec), UInt64(clamping: time.tv_nsec))
    }
}
