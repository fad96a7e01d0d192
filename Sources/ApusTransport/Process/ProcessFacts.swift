import ApusHTTP
import CApusShims
import Glibc

/// What the kernel knows of processes and of the machine.
package enum ProcessFacts {
    /// Memory that a process has in RAM; nil where there is none such, or it is not ours to see.
    package static func residentBytes(_ pid: pid_t) -> Int? {
        // proc(5), statm: size and resident size, in pages.
        guard let text = SmallFile.read("/proc/\(pid)/statm") else { return nil }
        let fields = text.split(separator: " ")
        guard fields.count > 1, let pages = Int(fields[1]) else { return nil }
        return pages * sysconf(Int32(_SC_PAGESIZE))
    }

    /// How long the threads of a process have waited for a core, all together and since they began; nil as above. A
    /// thread that ends takes its time along.
    package static func runDelay(_ pid: pid_t) -> TimeSpan? {
        guard let threads = threads(of: pid) else { return nil }
        var total: UInt64 = 0
        for thread in threads {
            // Nanoseconds on a core and in wait for one, and times on a core. A thread may end meanwhile.
            guard let text = SmallFile.read("/proc/\(pid)/task/\(thread)/schedstat") else { continue }
            let fields = text.split(separator: " ")
            guard fields.count > 1, let waited = UInt64(fields[1]) else { continue }
            total &+= waited
        }
        return TimeSpan(nanoseconds: total)
    }

    /// How many cores the process may use at a time: those it may run on, within what its control group allows.
    package static func cores() -> Int {
        let allowed = max(1, Int(apus_core_count()))
        return min(allowed, ControlGroup.cores ?? allowed)
    }

    /// Lets all threads of this process, and those they start, run on one core alone: the one at `index` among those that
    /// the process may run on, counted on from the first after the last.
    package static func pinToCore(_ index: Int) throws(SystemError) {
        let threads = threads(of: getpid()) ?? [getpid()]
        let code = apus_pin(threads, threads.count, UInt32(clamping: index))
        guard code == 0 else { throw SystemError("sched_setaffinity", code: -code) }
    }

    private static func threads(of pid: pid_t) -> [pid_t]? {
        guard let folder = opendir("/proc/\(pid)/task") else { return nil }
        defer { closedir(folder) }
        var threads: [pid_t] = []
        while let entry = readdir(folder) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if let thread = pid_t(name) { threads.append(thread) }
        }
        return threads
    }
}

/// The processor time that the process's control group may take (cgroup v2, cpu.max), by the nearest limit above it.
private enum ControlGroup {
    /// Rounded up; nil where there is no limit.
    static var cores: Int? {
        // cgroups(7): the line of version 2 begins with 0 and has no controllers.
        guard let groups = SmallFile.read("/proc/self/cgroup"),
            let line = groups.split(separator: "\n").first(where: { $0.hasPrefix("0::/") })
        else { return nil }
        var path = String(line.dropFirst(3))
        var least: Int?
        while true {
            if let cores = cores(inGroup: path) { least = min(least ?? cores, cores) }
            guard let slash = path.lastIndex(of: "/"), path != "/" else { return least }
            path = slash == path.startIndex ? "/" : String(path[..<slash])
        }
    }

    private static func cores(inGroup path: String) -> Int? {
        guard let text = SmallFile.read("/sys/fs/cgroup\(path == "/" ? "" : path)/cpu.max") else { return nil }
        let fields = text.split(whereSeparator: \.isWhitespace)
        // "max" is no number, and no limit.
        guard fields.count == 2, let quota = Int(fields[0]), let period = Int(fields[1]), quota > 0, period > 0 else {
            return nil
        }
        return max(1, quota / period + (quota % period > 0 ? 1 : 0))
    }
}

/// A file of a few lines, such as the kernel makes.
enum SmallFile {
    private static let maxBytes = 4096

    static func read(_ path: String) -> String? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: maxBytes)
        let count = SystemCall.read(descriptor, &bytes)
        return count >= 0 ? String(decoding: bytes[..<count], as: UTF8.self) : nil
    }
}
