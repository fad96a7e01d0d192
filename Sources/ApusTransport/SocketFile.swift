import CApusShims
import Glibc

/// Who may connect to a Unix socket's file; what is nil stays as the process's umask and account make it.
package struct UnixAccess: Hashable, Sendable {
    /// The permissions; nil means 0666 less the umask.
    package var mode: mode_t?
    package var owner: uid_t?
    package var group: gid_t?

    package init(mode: mode_t? = nil, owner: uid_t? = nil, group: gid_t? = nil) {
        self.mode = mode
        self.owner = owner
        self.group = group
    }

    var isDefault: Bool { self == UnixAccess() }
}

/// The file of a Unix domain socket that we have bound.
struct SocketFile {
    private let path: String
    private let device: dev_t
    private let inode: ino_t

    /// Binds an unbound socket to a path; a file that a dead server left behind is replaced. Nobody can
    /// connect before the socket listens, and by then the file has its owner and mode.
    static func bind(_ descriptor: Int32, path: String, access: UnixAccess) throws(SystemError) -> SocketFile {
        guard let address = UnixAddress(.unix(path: path)) else { throw SystemError("bind", code: ENAMETOOLONG) }
        var code = address.apply(Glibc.bind, to: descriptor)
        if code == EADDRINUSE {
            guard isSocket(path) else { throw SystemError("bind", code: EEXIST) }
            if try isStale(address, path) {
                unlink(path)
                code = address.apply(Glibc.bind, to: descriptor)
            }
        }
        guard code == 0 else { throw SystemError("bind", code: code) }
        let (file, mode) = try SocketFile.existing(path)
        do throws(SystemError) {
            // bind() has applied the umask to 0777; nobody executes a socket.
            try file.apply(access, mode: access.mode ?? mode & 0o666)
        } catch {
            file.unlinkIfOurs()
            throw error
        }
        return file
    }

    /// The file as it is now, and its mode.
    static func existing(_ path: String) throws(SystemError) -> (file: SocketFile, mode: mode_t) {
        var status = stat()
        guard lstat(path, &status) == 0 else { throw .last("lstat") }
        let file = SocketFile(path: path, device: status.st_dev, inode: status.st_ino)
        return (file, status.st_mode & 0o777)
    }

    private func apply(_ access: UnixAccess, mode: mode_t) throws(SystemError) {
        // Never through a link that somebody may have put there meanwhile. The mode first: afterwards the file
        // may be another's.
        guard fchmodat(AT_FDCWD, path, mode & 0o777, AT_SYMLINK_NOFOLLOW) == 0 else { throw .last("chmod") }
        guard access.owner != nil || access.group != nil else { return }
        // The greatest value means "as it is" (chown(2)).
        guard lchown(path, access.owner ?? .max, access.group ?? .max) == 0 else { throw .last("chown") }
    }

    /// Removes the file, unless somebody else has put theirs in its place.
    func unlinkIfOurs() {
        var status = stat()
        guard lstat(path, &status) == 0, status.st_dev == device, status.st_ino == inode else { return }
        unlink(path)
    }

    private static func isSocket(_ path: String) -> Bool {
        var status = stat()
        return lstat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFSOCK
    }

    /// Whether nobody listens on the socket at the path.
    private static func isStale(_ address: UnixAddress, _ path: String) throws(SystemError) -> Bool {
        let probe = try streamSocket(AF_UNIX)
        defer { close(probe) }
        return address.apply(Glibc.connect, to: probe) == ECONNREFUSED
    }
}

/// A non-blocking stream socket that is not bound yet.
func streamSocket(_ family: Int32) throws(SystemError) -> Int32 {
    let type = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
    let descriptor = socket(family, type, 0)
    guard descriptor >= 0 else { throw .last("socket") }
    return descriptor
}
