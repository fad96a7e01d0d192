import Glibc

/// What people read while a server runs.
package enum StandardError {
    /// Writes a line in one piece, so that lines of several threads do not mix.
    package static func writeLine(_ line: String) {
        write(Array((line + "\n").utf8))
    }

    /// Writes everything; gives up without a word where nobody can be told.
    static func write(_ bytes: [UInt8]) {
        bytes.withUnsafeBytes { bytes in
            var rest = bytes[...]
            while !rest.isEmpty {
                let count = Glibc.write(STDERR_FILENO, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
                let code = errno
                if count > 0 {
                    rest = rest.dropFirst(count)
                } else if code != EINTR {
                    return
                }
            }
        }
    }
}
