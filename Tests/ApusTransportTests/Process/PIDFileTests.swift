import ApusTransport
import CApusShims
import Glibc
import Testing

@Suite(.timeLimit(.minutes(5)))
struct PIDFileTests {
    private let folder: TemporaryFolder
    private var path: String { folder.path + "/apus.pid" }

    init() throws {
        folder = try TemporaryFolder()
    }

    private func text(_ path: String) throws -> String {
        try Shell.run("cat '\(path)' >&3").text
    }

    @Test func `the file has the number, and is removed at the end`() throws {
        let file = try PIDFile(path)
        #expect(try text(path) == "\(getpid())\n")
        #expect(try Shell.run("stat -c %a '\(path)' >&3").text == "644\n")
        file.remove()
        file.remove()
        #expect(access(path, F_OK) != 0)
    }

    @Test func `a file that another process holds is refused, with its number`() throws {
        let (pid, control) = try Shell.start(
            "exec 9>'\(path)'; flock 9; echo $$ >&9; echo ready >&3; read word <&3"
        )
        #expect(Shell.readLine(control) == "ready")
        let error = #expect(throws: PIDFileError.self) { try PIDFile(path) }
        #expect(error == .held(path: path, by: pid))
        #expect(error?.description == "'\(path)' is held by process \(pid), which still runs")
        close(control)
        #expect(Shell.wait(for: pid) == .code(1))
        // It has left its file behind.
        let file = try PIDFile(path)
        #expect(try text(path) == "\(getpid())\n")
        file.remove()
    }

    @Test func `a leftover that is longer is overwritten whole`() throws {
        try Shell.run("echo 99999999999999999999999999 >'\(path)'")
        let file = try PIDFile(path)
        #expect(try text(path) == "\(getpid())\n")
        file.remove()
    }

    @Test(arguments: ["important\n", "1 important file\n", "-----BEGIN CERTIFICATE-----\n"])
    func `a file with something else in it is left alone`(content: String) throws {
        try Shell.run("printf %s '\(content)' >'\(path)'")
        let error = #expect(throws: PIDFileError.self) { try PIDFile(path) }
        #expect(error == .foreign(path: path))
        #expect(try text(path) == content)
    }

    @Test(arguments: [0o555, 0o000] as [mode_t])
    func `in a folder that is not ours any more the file is emptied`(mode: mode_t) throws {
        let file = try PIDFile(path)
        // An ordinary account may not remove it, and for the moment root is one, on this thread.
        let symbol = try #require(dlsym(nil, "setfsuid"))
        let setFileSystemUser = unsafeBitCast(symbol, to: (@convention(c) (uid_t) -> Int32).self)
        #expect(chmod(folder.path, mode) == 0)
        if geteuid() == 0 { _ = setFileSystemUser(65_534) }
        file.remove()
        _ = setFileSystemUser(geteuid())
        #expect(chmod(folder.path, 0o700) == 0)
        #expect(try text(path) == "")
        // Nothing that would be in the way of the next one.
        #expect(isClosedSoon { (try? PIDFile(path))?.remove() != nil })
        #expect(access(path, F_OK) != 0)
    }

    @Test func `the file of another that has taken the place is left alone`() throws {
        let file = try PIDFile(path)
        try Shell.run("rm '\(path)'; echo 1 >'\(path)'")
        file.remove()
        #expect(try text(path) == "1\n")
    }

    @Test func `the next image goes on with the file`() throws {
        let first = try PIDFile(path)
        let descriptor = dup(first.descriptor)
        let second = try PIDFile(adopting: descriptor, path: path)
        #expect(fcntl(descriptor, F_GETFD) == FD_CLOEXEC)
        #expect(throws: PIDFileError.held(path: path, by: getpid())) { try PIDFile(path) }
        second.remove()
        #expect(access(path, F_OK) != 0)
        first.remove()
    }

    @Test func `the next image finds its number there, and writes nothing`() throws {
        try Shell.run("echo \(getpid()) >'\(path)'")
        // By this one nobody could.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        let file = try PIDFile(adopting: descriptor, path: path)
        #expect(try text(path) == "\(getpid())\n")
        file.remove()
    }

    @Test func `a file that has another name too is not written to`() throws {
        try Shell.run("cd '\(folder.path)'; echo secret >other; ln other apus.pid")
        let error = #expect(throws: PIDFileError.self) { try PIDFile(path) }
        #expect(error == .system(path: path, SystemError("open", code: EMLINK)))
        #expect(try text(folder.path + "/other") == "secret\n")
        // The file stays as it is: it is not ours.
        #expect(access(path, F_OK) == 0)
    }

    @Test func `neither a link nor a pipe nor a folder is written to`() throws {
        try Shell.run("cd '\(folder.path)'; ln -s target link; mkfifo pipe")
        for name in ["link", "pipe", "", "none/file"] {
            let error = #expect(throws: PIDFileError.self) { try PIDFile(folder.path + "/" + name) }
            guard case .system = error else { Issue.record("\(name): \(String(describing: error))"); continue }
        }
        #expect(access(folder.path + "/target", F_OK) != 0)
    }
}
