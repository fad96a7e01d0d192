import ApusHTTP
import ApusTransport
import CApusShims
import Glibc
import Testing

@Suite(.timeLimit(.minutes(5)))
struct UnixClientTests {
    private let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
    }

    private func listen(_ name: String) throws -> BoundSocket {
        try BoundSocket.unix(.unix(path: folder.path + "/" + name), backlog: 4, access: UnixAccess(mode: 0o600))
    }

    private func code(_ name: String, limit: Int = 10) -> Int32? {
        let error = #expect(throws: SystemError.self) {
            try UnixClient.readAll(folder.path + "/" + name, limit: limit, timeout: .milliseconds(50))
        }
        return error?.code
    }

    @Test func `who does not answer in time is left`() throws {
        let socket = try listen("silent")
        defer { socket.close() }
        #expect(code("silent") == ETIMEDOUT)
    }

    @Test func `who does not accept is left`() throws {
        let socket = try listen("full")
        defer { socket.close() }
        // Its queue is as long as it said, and one more.
        let waiting = try (0..<5).map { _ in try Client(.unix(path: folder.path + "/full")) }
        #expect(code("full") == ETIMEDOUT)
        withExtendedLifetime(waiting) {}
    }

    @Test func `where nobody is, that is told`() throws {
        #expect(code("none") == ENOENT)
        #expect(code(String(repeating: "x", count: 200)) == ENAMETOOLONG)
        let socket = try listen("dead")
        defer { socket.close() }
        shutdown(socket.descriptor, Int32(SHUT_RDWR))
        #expect(code("dead") == ECONNREFUSED)
    }

    @Test(arguments: [9, 10]) func `what fits is read to its end`(count: Int) async throws {
        let text = try await answer(count)
        #expect(text == String(repeating: "x", count: count))
    }

    @Test func `what does not fit is left`() async {
        let error = await #expect(throws: SystemError.self) { try await answer(11) }
        #expect(error?.code == EMSGSIZE)
    }

    /// Reads at most 10 bytes from one who says so many.
    private func answer(_ count: Int) async throws -> String {
        let socket = try listen("talker")
        defer { socket.close() }
        let listener = TCPListener(socket: socket, isShared: false)
        let confined = Confined(listener)
        let path = folder.path + "/talker"
        return try await withLoop { loop in
            try await loop.run {
                try confined.value.start(on: loop) { client in
                    var text = String(repeating: "x", count: count)
                    text.withUTF8 { _ = client.write(UnsafeRawBufferPointer($0)) }
                    client.close()
                }
            }
            let bytes = try UnixClient.readAll(path, limit: 10, timeout: .seconds(10))
            try await loop.run { confined.value.stop() }
            return String(decoding: bytes, as: UTF8.self)
        }
    }

    @Test func `the sockets of a folder are found, and nothing else`() throws {
        let sockets = try ["b", "a"].map(listen)
        defer { sockets.forEach { $0.close() } }
        try Shell.run("cd '\(folder.path)'; touch file; mkdir folder; ln -s a link")
        #expect(SocketFolder.sockets(in: folder.path) == [folder.path + "/a", folder.path + "/b"])
        #expect(SocketFolder.sockets(in: folder.path + "/none").isEmpty)
        #expect(SocketFolder.sockets(in: folder.path + "/file").isEmpty)
        try Shell.run("ln -s '\(folder.path)' '\(folder.path)/to-itself'")
        #expect(SocketFolder.sockets(in: folder.path + "/to-itself").isEmpty, "a link may lead anywhere")
    }

    @Test(.enabled(if: isRoot, "only root makes a folder for another"))
    func `the folder of another is looked into by root alone`() async throws {
        await #expect(processExitsWith: .success) {
            let folder = try TemporaryFolder()
            chmod(folder.path, 0o755)
            let socket = try BoundSocket.unix(.unix(path: folder.path + "/a"), backlog: 1, access: UnixAccess())
            #expect(SocketFolder.sockets(in: folder.path).count == 1)
            chown(folder.path, 2, 2)
            #expect(SocketFolder.sockets(in: folder.path).count == 1)
            let account = try Account(user: "nobody", group: nil)
            // Its own file, and so still its to remove.
            chown(folder.path + "/a", account.user, account.group)
            try account.assume()
            #expect(SocketFolder.sockets(in: folder.path).isEmpty)
            withExtendedLifetime(socket) {}
        }
    }
}
