import ApusHTTP
import CApusShims
import Glibc

/// The service manager that has started us (systemd), as far as it has told so in the environment: sd_notify(3),
/// sd_watchdog_enabled(3) and sd_listen_fds(3).
package struct ServiceManager: Sendable {
    /// How long a message may wait for a manager that does not read.
    private static let sendTimeout = TimeSpan.milliseconds(500)
    /// More sockets than that are not taken.
    package static let maxPassedSockets = 1024
    /// The first descriptor that is passed.
    private static let firstPassedSocket: Int32 = 3

    private let address: UnixAddress
    /// Within this time of each other, the manager wants to hear `WATCHDOG=1`; say it twice as often. Nil: never.
    package let watchdogInterval: TimeSpan?

    /// Nil where no manager wants to hear anything.
    package init?(_ environment: [String: String], pid: pid_t = getpid()) {
        guard let socket = environment["NOTIFY_SOCKET"], let address = Self.address(socket) else { return nil }
        self.address = address
        watchdogInterval = Self.watchdogInterval(environment, pid)
    }

    /// Tells the manager: `READY=1`, `STOPPING=1`, `STATUS=…`, several lines of them. False where it did not arrive.
    @discardableResult
    package func notify(_ state: String) -> Bool {
        let type = Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue)
        let descriptor = socket(AF_UNIX, type, 0)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        var limit = timeval(tv_sec: 0, tv_usec: suseconds_t(Self.sendTimeout.nanoseconds / 1000))
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        guard address.apply(connect, to: descriptor) == 0 else { return false }
        let bytes = Array(state.utf8)
        return send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count
    }

    /// What to notify at the beginning of a reload: a manager of Type=notify-reload matches it by the time.
    package static var reloading: String {
        "RELOADING=1\nMONOTONIC_USEC=\(Clock.now().nanoseconds / 1000)"
    }

    /// The sockets that were passed to this process, with their names; none where they are another's.
    package static func passedSockets(
        _ environment: [String: String],
        pid: pid_t = getpid()
    ) -> [(descriptor: Int32, name: String)] {
        guard environment["LISTEN_PID"].flatMap({ pid_t($0) }) == pid,
            let count = environment["LISTEN_FDS"].flatMap({ Int($0) }), (1...maxPassedSockets).contains(count)
        else { return [] }
        let names = (environment["LISTEN_FDNAMES"] ?? "").split(separator: ":", omittingEmptySubsequences: false)
        return (0..<count)
            .map { index in
                let name = index < names.count && !names[index].isEmpty ? String(names[index]) : "unknown"
                return (firstPassedSocket + Int32(index), name)
            }
    }

    /// A path, or `@` and a name without a file.
    private static func address(_ text: String) -> UnixAddress? {
        if text.hasPrefix("@") { return UnixAddress(.abstract(name: String(text.dropFirst()))) }
        return text.hasPrefix("/") && text != "/" ? UnixAddress(.unix(path: text)) : nil
    }

    private static func watchdogInterval(_ environment: [String: String], _ pid: pid_t) -> TimeSpan? {
        if let meant = environment["WATCHDOG_PID"], pid_t(meant) != pid { return nil }
        guard let microseconds = environment["WATCHDOG_USEC"].flatMap({ UInt64($0) }), microseconds > 0 else {
            return nil
        }
        let (nanoseconds, overflow) = microseconds.multipliedReportingOverflow(by: 1000)
        return overflow ? nil : TimeSpan(nanoseconds: nanoseconds)
    }
}
