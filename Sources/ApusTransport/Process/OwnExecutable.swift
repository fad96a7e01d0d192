import CApusShims
import Glibc

/// The program that this process runs: as it is, and where a newer one would be.
package struct OwnExecutable: Sendable {
    /// Names the running image, even where its file is replaced or removed; for
    /// ``ChildProcess/spawn(executable:arguments:environment:control:)``. Open for ever.
    package let descriptor: Int32
    /// The absolute path by which it was started, with its symbolic links: who replaces the file, or points a link
    /// elsewhere, means this one.
    package let path: String

    /// To be called at the start of the process, before the folder it works in or its files change.
    package static func open() throws(SystemError) -> OwnExecutable {
        let descriptor = apus_open_own_executable()
        guard descriptor >= 0 else { throw SystemError("open", code: -descriptor) }
        let candidates = [startedPath, linkedPath].compactMap(\.self)
        guard let path = candidates.first(where: { isSame($0, descriptor) }) ?? linkedPath else {
            close(descriptor)
            throw SystemError("readlink", code: ENOENT)
        }
        return OwnExecutable(descriptor: descriptor, path: path)
    }

    /// What execve was given. A path through /proc names a descriptor, which is another file's later.
    private static var startedPath: String? {
        guard let started = apus_started_path() else { return nil }
        let path = String(cString: started)
        if path.hasPrefix("/") { return path.hasPrefix("/proc/") || path.hasPrefix("/dev/fd/") ? nil : path }
        guard let folder = getcwd(nil, 0) else { return nil }
        defer { free(folder) }
        return String(cString: folder) + "/" + path
    }

    /// The file that the kernel knows; where it is removed, its path all the same.
    private static var linkedPath: String? {
        var room = [UInt8](repeating: 0, count: Int(PATH_MAX))
        // Not empty, and so it has an address.
        let count = room.withUnsafeMutableBytes { room in
            readlink("/proc/self/exe", room.assumingMemoryBound(to: CChar.self).baseAddress!, room.count)
        }
        guard count > 0 else { return nil }
        let path = String(decoding: room[..<count], as: UTF8.self)
        // proc(5): the suffix of a file that is gone.
        let suffix = " (deleted)"
        return path.hasSuffix(suffix) && access(path, F_OK) != 0 ? String(path.dropLast(suffix.count)) : path
    }

    private static func isSame(_ path: String, _ descriptor: Int32) -> Bool {
        var named = stat()
        var running = stat()
        return stat(path, &named) == 0 && fstat(descriptor, &running) == 0 && named.st_dev == running.st_dev
            && named.st_ino == running.st_ino
    }
}
