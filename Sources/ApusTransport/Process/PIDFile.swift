import Glibc

/// A PID file that cannot be had.
package enum PIDFileError: Error, Hashable, Sendable, CustomStringConvertible {
    /// Another process holds it; its number, where it has written one.
    case held(path: String, by: pid_t?)
    /// It has something else in it than a number: a mistake in the path would cost a file of somebody's.
    case foreign(path: String)
    case system(path: String, SystemError)

    package var description: String {
        switch self {
        case .held(let path, let holder?): "'\(path)' is held by process \(holder), which still runs"
        case .held(let path, nil): "'\(path)' is held by a process that still runs"
        case .foreign(let path): "'\(path)' exists, and what it holds is not the number of a process"
        case .system(let path, let error): "'\(path)': \(error.reason)"
        }
    }
}

/// A file with the process's number, locked for as long as the process lives: a leftover is told from one in use by the
/// lock, whatever its content says.
package final class PIDFile {
    package let path: String
    /// Closed on exec; an image that takes our place has to be given it, or the lock is lost.
    package let descriptor: Int32
    private var isRemoved = false

    /// Makes the file, or takes over one that a dead process has left.
    package init(_ path: String) throws(PIDFileError) {
        self.path = path
        do throws(SystemError) {
            guard let descriptor = try Self.lock(path) else { throw SystemError("flock", code: EWOULDBLOCK) }
            self.descriptor = descriptor
        } catch {
            if error.code == EWOULDBLOCK { throw .held(path: path, by: Self.holder(of: path)) }
            if error.code == EEXIST { throw .foreign(path: path) }
            throw .system(path: path, error)
        }
        do throws(SystemError) {
            try writeNumber()
        } catch {
            remove()
            throw .system(path: path, error)
        }
    }

    /// Goes on with the file of the image that was here before. It says our number already, and whoever reads it meanwhile,
    /// or a disk that is full, finds it so.
    package init(adopting descriptor: Int32, path: String) throws(PIDFileError) {
        self.path = path
        self.descriptor = descriptor
        do throws(SystemError) {
            guard fcntl(descriptor, F_SETFD, FD_CLOEXEC) == 0 else { throw .last("fcntl") }
            // The lock belongs to the open file, and so is ours already.
            guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else { throw .last("flock") }
        } catch {
            throw .system(path: path, error)
        }
    }

    deinit {
        remove()
    }

    /// Removes the file, unless another has been put in its place; empties it where its folder is not ours to change, as
    /// when rights have been given up. Harmless if repeated.
    package func remove() {
        guard !isRemoved else { return }
        isRemoved = true
        // Of a folder that may not even be searched nothing is known.
        if !(Self.isAt(path, descriptor) && unlink(path) == 0) { _ = ftruncate(descriptor, 0) }
        close(descriptor)
    }

    /// Opens and locks the file; nil where another process has the lock.
    private static func lock(_ path: String) throws(SystemError) -> Int32? {
        while true {
            let descriptor = try openRegular(path)
            guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
                let error = SystemError.last("flock")
                close(descriptor)
                if error.code == EWOULDBLOCK { return nil }
                throw error
            }
            if isAt(path, descriptor) {
                if holdsNumber(descriptor) { return descriptor }
                close(descriptor)
                throw SystemError("open", code: EEXIST)
            }
            // Its last holder has removed it between our opening and our lock.
            close(descriptor)
        }
    }

    private static func openRegular(_ path: String) throws(SystemError) -> Int32 {
        // A link of either kind would have us write wherever somebody else likes; a FIFO would hold us.
        let descriptor = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw .last("open") }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            close(descriptor)
            throw SystemError("open", code: EINVAL)
        }
        guard status.st_nlink <= 1 else {
            close(descriptor)
            throw SystemError("open", code: EMLINK)
        }
        return descriptor
    }

    /// Whether the file is empty, or begins with a number as one of ours does.
    private static func holdsNumber(_ descriptor: Int32) -> Bool {
        var bytes = [UInt8](repeating: 0, count: 32)
        let count = pread(descriptor, &bytes, bytes.count, 0)
        return count >= 0
            && bytes[..<count].allSatisfy { UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 || $0 == UInt8(ascii: "\n") }
    }

    private func writeNumber() throws(SystemError) {
        guard ftruncate(descriptor, 0) == 0 else { throw .last("ftruncate") }
        let line = Array("\(getpid())\n".utf8)
        guard pwrite(descriptor, line, line.count, 0) == line.count else { throw .last("pwrite") }
    }

    private static func isAt(_ path: String, _ descriptor: Int32) -> Bool {
        var named = stat()
        var ours = stat()
        return lstat(path, &named) == 0 && fstat(descriptor, &ours) == 0 && named.st_dev == ours.st_dev
            && named.st_ino == ours.st_ino
    }

    private static func holder(of path: String) -> pid_t? {
        guard let text = SmallFile.read(path), let line = text.split(separator: "\n").first else { return nil }
        return pid_t(line).flatMap { $0 > 0 ? $0 : nil }
    }
}
