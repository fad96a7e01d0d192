import ApusHTTP
import ApusTransport
import CApusShims
import Glibc
import Testing

@Suite(.timeLimit(.minutes(5)))
struct ServiceManagerTests {
    /// A manager's socket, at an address as NOTIFY_SOCKET has it.
    private func receiver(_ address: String) throws -> Int32 {
        let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var raw = sockaddr_un()
        raw.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(address.utf8).map { $0 == UInt8(ascii: "@") ? 0 : $0 }
        withUnsafeMutableBytes(of: &raw.sun_path) { $0.copyBytes(from: bytes) }
        let isAbstract = bytes.first == 0
        let length = socklen_t(MemoryLayout<sa_family_t>.size + bytes.count + (isAbstract ? 0 : 1))
        let code = withUnsafePointer(to: &raw) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, length) }
        }
        guard code == 0 else { throw SystemError("bind", code: errno) }
        return descriptor
    }

    private func message(_ descriptor: Int32) -> String {
        var bytes = [UInt8](repeating: 0, count: 1024)
        let count = recv(descriptor, &bytes, bytes.count, Int32(MSG_DONTWAIT))
        return String(decoding: bytes[..<max(0, count)], as: UTF8.self)
    }

    @Test func `a manager is told at its path`() throws {
        let folder = try TemporaryFolder()
        let descriptor = try receiver(folder.path + "/notify")
        defer { close(descriptor) }
        let manager = try #require(ServiceManager(["NOTIFY_SOCKET": folder.path + "/notify"]))
        #expect(manager.notify("READY=1\nSTATUS=all is well"))
        #expect(message(descriptor) == "READY=1\nSTATUS=all is well")
        #expect(manager.watchdogInterval == nil)
    }

    @Test func `a manager is told at its name without a file`() throws {
        let name = "@apus-test-\(getpid())"
        let descriptor = try receiver(name)
        let manager = try #require(ServiceManager(["NOTIFY_SOCKET": name]))
        #expect(manager.notify(ServiceManager.reloading))
        let lines = message(descriptor).split(separator: "\n")
        #expect(lines.first == "RELOADING=1")
        #expect(lines.last?.hasPrefix("MONOTONIC_USEC=") == true)
        close(descriptor)
        #expect(isClosedSoon { !manager.notify("STOPPING=1") })
    }

    @Test(arguments: [nil, "", "/", "@", "relative", "vsock:2:1", "/a\0b", "/" + String(repeating: "x", count: 107)])
    func `an address that cannot be is that of no manager`(address: String?) {
        #expect(ServiceManager(address.map { ["NOTIFY_SOCKET": $0] } ?? [:]) == nil)
    }

    @Test func `the longest path is one`() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/" + String(repeating: "x", count: 106 - folder.path.utf8.count)
        let descriptor = try receiver(path)
        defer { close(descriptor) }
        #expect(ServiceManager(["NOTIFY_SOCKET": path])?.notify("READY=1") == true)
    }

    @Test(arguments: [
        (["WATCHDOG_USEC": "20000000"], TimeSpan.seconds(20)),
        (["WATCHDOG_USEC": "20000000", "WATCHDOG_PID": "7"], .seconds(20)),
        (["WATCHDOG_USEC": "20000000", "WATCHDOG_PID": "8"], nil), (["WATCHDOG_PID": "7"], nil),
        (["WATCHDOG_USEC": "0"], nil), (["WATCHDOG_USEC": "-1"], nil), (["WATCHDOG_USEC": "x"], nil),
        (["WATCHDOG_USEC": "18446744073709551615"], nil),
    ])
    func `a watchdog is ours where it names nobody else`(variables: [String: String], interval: TimeSpan?) {
        let environment = variables.merging(["NOTIFY_SOCKET": "/run/notify"]) { $1 }
        #expect(ServiceManager(environment, pid: 7)?.watchdogInterval == interval)
    }

    @Test(arguments: [
        (["LISTEN_PID": "7", "LISTEN_FDS": "2"], ["3 unknown", "4 unknown"]),
        (["LISTEN_PID": "7", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "https:quic"], ["3 https", "4 quic"]),
        (["LISTEN_PID": "7", "LISTEN_FDS": "3", "LISTEN_FDNAMES": "a::"], ["3 a", "4 unknown", "5 unknown"]),
        (["LISTEN_PID": "7", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "a:b"], ["3 a"]),
        (["LISTEN_PID": "8", "LISTEN_FDS": "2"], []), (["LISTEN_FDS": "2"], []), (["LISTEN_PID": "7"], []),
        (["LISTEN_PID": "7", "LISTEN_FDS": "0"], []), (["LISTEN_PID": "7", "LISTEN_FDS": "-1"], []),
        (["LISTEN_PID": "7", "LISTEN_FDS": "1025"], []), (["LISTEN_PID": "x", "LISTEN_FDS": "y"], []),
    ])
    func `sockets are ours where they were passed to us`(variables: [String: String], sockets: [String]) {
        let passed = ServiceManager.passedSockets(variables, pid: 7)
        #expect(passed.map { "\($0.descriptor) \($0.name)" } == sockets)
    }

    @Test func `as many sockets as may be are taken`() {
        let variables = ["LISTEN_PID": "7", "LISTEN_FDS": String(ServiceManager.maxPassedSockets)]
        #expect(ServiceManager.passedSockets(variables, pid: 7).count == ServiceManager.maxPassedSockets)
    }
}
