import CApusShims
import Glibc

/// The file of a Unix domain socket that we have bound.
struct SocketFile {
    private let path: String
    private let device: dev_t
    private let inode: ino_t

    /// Makes a bound, non-blocking socket; a file that a dead server left behind is replaced.
    static func bind(path: String) throws(SystemError) -> (descriptor: Int32, file: SocketFile) {
        let descriptor = try open()
        do throws(SystemError) {
            var code = connectOrBind(descriptor, path, Glibc.bind)
            if code == EADDRINUSE, try isStale(path) {
                unlink(path)
                code = connectOrBind(descriptor, path, Glibc.bind)
            }
            guard code == 0 else { throw SystemError("bind", code: code) }
            return (descriptor, try SocketFile(path: path))
        } catch {
            close(descriptor)
            throw error
        }
    }

    private init(path: String) throws(SystemError) {
        var status = stat()
        guard lstat(path, &status) == 0 else { throw .last("lstat") }
        // bind() has applied the umask to 0777; nobody executes a socket.
        guard chmod(path, status.st_mode & 0o666) == 0 else { throw .last("chmod") }
        self.path = path
        device = status.st_dev
        inode = status.st_ino
    }

    /// Removes the file, unless somebody else has put theirs in its place.
    func unlinkIfOurs() {
        var status = stat()
        guard lstat(path, &status) == 0, status.st_dev == device, status.st_ino == inode else { return }
        unlink(path)
    }

    private static func open() throws(SystemError) -> Int32 {
        let type = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        let descriptor = socket(AF_UNIX, type, 0)
        guard descriptor >= 0 else { throw .last("socket") }
        return descriptor
    }

    /// Whether the path is a socket on which nobody listens.
    private static func isStale(_ path: String) throws(SystemError) -> Bool {
        var status = stat()
        guard lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFSOCK else { return false }
        let probe = try open()
        defer { close(probe) }
        return connectOrBind(probe, path, Glibc.connect) == ECONNREFUSED
    }

    /// Applies `bind` or `connect` to the path; 0 or the errno value.
    private static func connectOrBind(
        _ descriptor: Int32,
        _ path: String,
        _ call: (Int32, UnsafePointer<sockaddr>?, socklen_t) -> Int32
    ) -> Int32 {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        var path = path
        let fits = path.withUTF8 { bytes in
            withUnsafeMutableBytes(of: &address.sun_path) { field in
                // One byte stays 0, the terminator; a 0 inside would name another file.
                guard bytes.count < field.count, !bytes.contains(0) else { return false }
                field.copyBytes(from: bytes)
                return true
            }
        }
        guard fits else { return ENAMETOOLONG }
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { raw in
                call(descriptor, raw, socklen_t(MemoryLayout<sockaddr_un>.size)) == 0 ? 0 : errno
            }
        }
    }
}
