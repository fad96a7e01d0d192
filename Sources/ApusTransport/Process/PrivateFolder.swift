import Glibc

/// A folder that only its owner, us, may look into.
package enum PrivateFolder {
    /// Makes the folder where there is none.
    ///
    /// - Throws: ``SystemError``, `EPERM` where the path is somebody else's or open to others: in a folder that everybody
    ///   may write to, anybody could have put it there.
    package static func make(_ path: String) throws(SystemError) {
        guard mkdir(path, 0o700) == 0 || errno == EEXIST else { throw .last("mkdir") }
        var status = stat()
        guard lstat(path, &status) == 0 else { throw .last("lstat") }
        guard status.st_mode & S_IFMT == S_IFDIR, status.st_uid == geteuid(), status.st_mode & 0o077 == 0 else {
            throw SystemError("mkdir", code: EPERM)
        }
    }
}
