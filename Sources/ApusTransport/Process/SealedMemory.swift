import CApusShims
import Glibc

/// Bytes that are handed to another process in memory, never on a disk, and that nobody can change any more.
package enum SealedMemory {
    /// More is not read.
    package static let maxBytes = 16 << 20

    /// Makes an anonymous file (closed on exec) of these bytes; the name is only for people to see.
    package static func make(_ bytes: [UInt8], name: String) throws(SystemError) -> Int32 {
        let descriptor = apus_memory_file(name)
        guard descriptor >= 0 else { throw SystemError("memfd_create", code: -descriptor) }
        do throws(SystemError) {
            try write(bytes, to: descriptor)
            let code = apus_memory_seal(descriptor)
            guard code == 0 else { throw SystemError("fcntl", code: -code) }
        } catch {
            close(descriptor)
            throw error
        }
        return descriptor
    }

    /// The bytes of a descriptor; nil where it is not sealed memory, or too much.
    package static func read(_ descriptor: Int32) -> [UInt8]? {
        var status = stat()
        guard apus_memory_is_sealed(descriptor) == 1, fstat(descriptor, &status) == 0,
            (0...off_t(maxBytes)).contains(status.st_size)
        else { return nil }
        var bytes = [UInt8](repeating: 0, count: Int(status.st_size))
        let isFilled = bytes.withUnsafeMutableBytes { FileSystem.read(descriptor, at: 0, into: $0) }
        return isFilled ? bytes : nil
    }

    private static func write(_ bytes: [UInt8], to descriptor: Int32) throws(SystemError) {
        var written = 0
        while written < bytes.count {
            let count = bytes.withUnsafeBytes { raw in
                // Within the array: less than all was written.
                pwrite(descriptor, raw.baseAddress! + written, raw.count - written, off_t(written))
            }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { throw .last("pwrite") }
            written += count
        }
    }
}
