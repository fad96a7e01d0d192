import Glibc

/// A folder of sockets, such as servers of one user have theirs in.
package enum SocketFolder {
    /// The paths of the sockets in a folder of our own, sorted; none where it is somebody else's, who could have put there
    /// what they like. Root, who looks where nobody else can put anything, may look into others'.
    package static func sockets(in path: String) -> [String] {
        var status = stat()
        guard lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR,
            status.st_uid == geteuid() || geteuid() == 0,
            let folder = opendir(path)
        else { return [] }
        defer { closedir(folder) }
        var paths: [String] = []
        while let entry = readdir(folder) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            let path = "\(path)/\(name)"
            if lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFSOCK { paths.append(path) }
        }
        return paths.sorted()
    }
}
