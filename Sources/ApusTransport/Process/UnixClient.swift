import ApusHTTP
import CApusShims
import Glibc

/// Asks a server on this machine, blocking: for commands, not for loops.
package enum UnixClient {
    /// Connects to a socket's file and reads all that is said until the other side closes.
    ///
    /// - Throws: ``SystemError``: `ECONNREFUSED` where nobody listens, `ETIMEDOUT` where the end does not come in time,
    ///   `EMSGSIZE` where it does not come within `limit` bytes.
    package static func readAll(_ path: String, limit: Int, timeout: TimeSpan) throws(SystemError) -> [UInt8] {
        guard let address = UnixAddress(.unix(path: path)) else { throw SystemError("connect", code: ENAMETOOLONG) }
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw .last("socket") }
        defer { close(descriptor) }
        let deadline = Clock.now() + timeout
        try setTimeout(timeout, of: descriptor)
        let code = address.apply(connect, to: descriptor)
        // unix(7): the queue of who does not accept stayed full.
        guard code == 0 else { throw SystemError("connect", code: code == EAGAIN ? ETIMEDOUT : code) }
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 16_384)
        while true {
            let left = deadline.since(Clock.now())
            guard left.nanoseconds > 0 else { throw SystemError("read", code: ETIMEDOUT) }
            try setTimeout(left, of: descriptor)
            let count = SystemCall.read(descriptor, &piece)
            guard count >= 0 else { throw SystemError("read", code: count == -Int(EAGAIN) ? ETIMEDOUT : Int32(-count)) }
            if count == 0 { return bytes }
            bytes += piece[..<count]
            guard bytes.count <= limit else { throw SystemError("read", code: EMSGSIZE) }
        }
    }

    private static func setTimeout(_ time: TimeSpan, of descriptor: Int32) throws(SystemError) {
        // 0 would be for ever.
        let microseconds = max(1, time.nanoseconds / 1000)
        var limit = timeval(
            tv_sec: time_t(clamping: microseconds / 1_000_000),
            tv_usec: suseconds_t(microseconds % 1_000_000)
        )
        for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
            guard setsockopt(descriptor, SOL_SOCKET, option, &limit, socklen_t(MemoryLayout<timeval>.size)) == 0 else {
                throw .last("setsockopt")
            }
        }
    }
}
