import CApusShims
import Glibc

/// What a process does about its descriptors as a whole.
package enum Descriptors {
    /// As many are allowed at most: a limit of a billion, as some containers have it, is what some programs that the
    /// application may start close one by one.
    private static let most: rlim_t = 1 << 20

    /// Allows the process as many descriptors as it may allow itself; each connection takes one.
    package static func raiseLimit() {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
        let wanted = min(limit.rlim_max, most)
        guard limit.rlim_cur < wanted else { return }
        limit.rlim_cur = wanted
        setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    }

    /// Puts /dev/null where a standard descriptor is closed: the next file or socket would take its number, and be
    /// written to as if it were the log.
    package static func fillStandard() {
        for descriptor in STDIN_FILENO...STDERR_FILENO where fcntl(descriptor, F_GETFD) < 0 {
            // The lowest number that is free is this one: those below are open.
            _ = open("/dev/null", O_RDWR)
        }
    }

    /// Closes a descriptor when another program takes our place, as all of ours are; false where it is not open.
    @discardableResult
    package static func closeOnExec(_ descriptor: Int32) -> Bool {
        fcntl(descriptor, F_SETFD, FD_CLOEXEC) == 0
    }

    /// Whether it is a socket of whole messages over a connection, as a supervisor has with its workers.
    package static func isPacketSocket(_ descriptor: Int32) -> Bool {
        (try? getOption(descriptor, SOL_SOCKET, SO_TYPE)) == Int32(SOCK_SEQPACKET.rawValue)
    }

    /// Opens a program's file only to name it: what is started by ``path(of:)`` is what was opened, whatever the path
    /// means by then. Above the numbers that a child finds something else at.
    package static func openProgram(_ path: String) throws(SystemError) -> Int32 {
        // Without O_NONBLOCK, a FIFO in its place would be waited for.
        let descriptor = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
        guard descriptor >= 0 else { throw .last("open") }
        defer { close(descriptor) }
        let copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 10)
        guard copy >= 0 else { throw .last("fcntl") }
        return copy
    }

    /// Writes what goes at once: a count, or -errno; EAGAIN where somebody has to read before there is room, be the
    /// descriptor blocking or not.
    package static func writeNow(_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer) -> Int {
        apus_write_now(descriptor, bytes.baseAddress, bytes.count)
    }

    /// A path that means what a descriptor names, in this process and where it is started.
    package static func path(of descriptor: Int32) -> String {
        "/proc/self/fd/\(descriptor)"
    }
}
