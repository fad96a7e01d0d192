import Glibc

/// A directory that files are opened below, without a way out of it.
///
/// Each name is opened relative to the directory before it and never followed where it is a symbolic link, so that
/// there is no moment between a check and its use, whatever happens in the directory meanwhile.
final class StaticRoot: Sendable {
    /// What a directory shows for itself.
    static let indexName = Array("index.html".utf8)

    /// `O_PATH`, a descriptor that is only a place to start from; Glibc shows the name to GNU programs alone.
    private static let placeOnly: Int32 = 0o10_000_000

    /// The directory; closed in the end.
    private let descriptor: Int32

    /// Why a file is not served.
    enum Refusal: Error {
        case notFound
        case forbidden
        /// The process has no descriptor or memory left for it.
        case exhausted
    }

    init(path: String) throws(ConfigurationError) {
        descriptor = Glibc.open(path, Self.placeOnly | O_DIRECTORY | O_CLOEXEC)
        let code = errno
        guard descriptor >= 0 else {
            throw ConfigurationError(option: "root", "cannot open the directory '\(path)': \(Self.text(code))")
        }
    }

    deinit {
        close(descriptor)
    }

    /// Opens what is below the root under these names: a file, or a directory; the root itself for none.
    func open(_ names: [[UInt8]]) throws(Refusal) -> OpenFile {
        guard let last = names.last else {
            return try Self.openEntry(Array(".".utf8), in: descriptor)
        }
        var parent: OpenFile?
        for name in names.dropLast() {
            parent = try Self.openDirectory(name, in: parent?.descriptor ?? descriptor)
        }
        defer { withExtendedLifetime(parent) {} }
        return try Self.openEntry(last, in: parent?.descriptor ?? descriptor)
    }

    /// Opens the file that a directory shows for itself.
    func openIndex(of directory: OpenFile) throws(Refusal) -> OpenFile {
        defer { withExtendedLifetime(directory) {} }
        let index = try Self.openEntry(Self.indexName, in: directory.descriptor)
        guard index.isRegularFile else { throw .notFound }
        return index
    }

    // MARK: - System calls

    private static func openDirectory(_ name: [UInt8], in parent: Int32) throws(Refusal) -> OpenFile {
        try openAt(parent, name, placeOnly | O_DIRECTORY)
    }

    /// `O_NONBLOCK`: a FIFO in the directory must not hold up the thread until somebody writes to it.
    private static func openEntry(_ name: [UInt8], in parent: Int32) throws(Refusal) -> OpenFile {
        try openAt(parent, name, O_RDONLY | O_NONBLOCK | O_NOCTTY)
    }

    private static func openAt(_ parent: Int32, _ name: [UInt8], _ flags: Int32) throws(Refusal) -> OpenFile {
        // The names have no NUL in them; this one ends them for C.
        let terminated = (name + [0]).map { CChar(bitPattern: $0) }
        while true {
            let opened = openat(parent, terminated, flags | O_NOFOLLOW | O_CLOEXEC)
            let code = errno
            if opened >= 0 {
                guard let file = OpenFile(descriptor: opened) else { throw .notFound }
                return file
            }
            if code != EINTR { throw refusal(code) }
        }
    }

    private static func refusal(_ code: Int32) -> Refusal {
        switch code {
        case EACCES, EPERM: .forbidden
        case EMFILE, ENFILE, ENOMEM: .exhausted
        // ELOOP and ENOTDIR among them: a symbolic link is as good as nothing.
        default: .notFound
        }
    }

    private static func text(_ code: Int32) -> String {
        String(cString: strerror(code))
    }
}
