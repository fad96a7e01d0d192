import ApusHTTP
import CApusShims
import Glibc
import Testing

@testable import ApusTransport

extension SocketTests {
    @Suite struct UnixAccessTests {
        private let path = "/tmp/apus-access-\(getpid())"

        private func status() throws -> stat {
            var status = stat()
            try #require(lstat(path, &status) == 0)
            return status
        }

        @Test(arguments: [mode_t(0o600), 0o660, 0o666, 0o777, 0])
        func `the file has the mode that is asked for, whatever the umask`(mode: mode_t) throws {
            let socket = try BoundSocket.unix(.unix(path: path), access: UnixAccess(mode: mode))
            defer { socket.close() }
            #expect(try status().st_mode == S_IFSOCK | mode)
        }

        @Test func `of a mode only the permissions count`() throws {
            let socket = try BoundSocket.unix(.unix(path: path), access: UnixAccess(mode: 0o7640))
            defer { socket.close() }
            #expect(try status().st_mode == S_IFSOCK | 0o640)
        }

        @Test func `the file has the owner and group that are asked for`() throws {
            // Only root may give a file away.
            let (owner, group) = geteuid() == 0 ? (uid_t(12_345), gid_t(23_456)) : (geteuid(), getegid())
            for access in [
                UnixAccess(owner: owner), UnixAccess(group: group),
                UnixAccess(mode: 0o620, owner: owner, group: group),
            ] {
                let socket = try BoundSocket.unix(.unix(path: path), access: access)
                defer { socket.close() }
                #expect(try status().st_uid == access.owner ?? geteuid())
                #expect(try status().st_gid == access.group ?? getegid())
                if let mode = access.mode { #expect(try status().st_mode & 0o777 == mode) }
            }
        }

        @Test func `an owner that is refused leaves no file`() throws {
            // An ordinary account may not give files away, and for the moment root is one, on this thread.
            let symbol = try #require(dlsym(nil, "setfsuid"))
            let setFileSystemUser = unsafeBitCast(symbol, to: (@convention(c) (uid_t) -> Int32).self)
            if geteuid() == 0 { _ = setFileSystemUser(65_534) }
            defer { _ = setFileSystemUser(geteuid()) }
            #expect(throws: SystemError("chown", code: EPERM)) {
                _ = try BoundSocket.unix(.unix(path: path), access: UnixAccess(owner: 0))
            }
            #expect(access(path, F_OK) != 0)
        }

        @Test func `nobody takes a file on which somebody listens, and its mode stays`() throws {
            let first = try BoundSocket.unix(.unix(path: path), access: UnixAccess(mode: 0o600))
            #expect(throws: SystemError("bind", code: EADDRINUSE)) {
                _ = try BoundSocket.unix(.unix(path: path), access: UnixAccess(mode: 0o666))
            }
            #expect(try status().st_mode & 0o777 == 0o600)
            first.close()
            #expect(access(path, F_OK) != 0)
        }

        @Test func `a stale file is replaced, with its mode`() throws {
            let first = try BoundSocket.unix(.unix(path: path), access: UnixAccess(mode: 0o600))
            let inode = try status().st_ino
            // As a process that was killed leaves it: the descriptor is gone, the file is not.
            let shadow = path + "-shadow"
            try #require(link(path, shadow) == 0)
            first.close()
            try #require(rename(shadow, path) == 0)
            #expect(try status().st_ino == inode)
            #expect(isRefused(.unix(path: path)))
            let second = try BoundSocket.unix(.unix(path: path), access: UnixAccess(mode: 0o640))
            #expect(try status().st_mode & 0o777 == 0o640)
            #expect(throws: Never.self) { try Client(second.address) }
            second.close()
        }

        @Test func `an abstract socket serves without a file`() async throws {
            let address = BindAddress.abstract(name: "apus-test-\(getpid())")
            #expect(address.description == "unix:@apus-test-\(getpid())")
            try await withLoop { loop in
                let (listener, bound) = try await listen(on: loop, address, serve: echo(loop))
                #expect(bound == address)
                #expect(throws: SystemError("bind", code: EADDRINUSE)) { _ = try BoundSocket.unix(address) }
                let client = try Client(address)
                try client.write([1, 2])
                #expect(try client.readAll(2) == [1, 2])
                try await loop.run { listener.value.close() }
            }
            #expect(isRefused(address))
        }

        @Test func `an abstract name fills the address and no more`() throws {
            let longest = "apus-\(getpid())-" + String(repeating: "x", count: 100)
            let name = String(longest.prefix(107))
            let socket = try BoundSocket.unix(.abstract(name: name))
            #expect(try BoundSocket(inherited: dup(socket.descriptor)).address == .abstract(name: name))
            for name in [name + "x", ""] {
                #expect(throws: SystemError("bind", code: ENAMETOOLONG)) {
                    _ = try BoundSocket.unix(.abstract(name: name))
                }
            }
        }

        @Test func `an abstract socket, which has no permissions, is not made where some are asked for`() {
            for access in [UnixAccess(mode: 0o600), UnixAccess(owner: 0), UnixAccess(group: 0)] {
                #expect(throws: SystemError("chmod", code: EOPNOTSUPP)) {
                    _ = try BoundSocket.unix(.abstract(name: "apus-test-\(getpid())-mode"), access: access)
                }
            }
        }

        @Test func `an IP address is none of a Unix socket`() {
            #expect(throws: SystemError("bind", code: EAFNOSUPPORT)) {
                _ = try BoundSocket.unix(.ip(loopback(.ipv4)))
            }
        }
    }
}
