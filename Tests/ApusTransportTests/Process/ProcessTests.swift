import ApusHTTP
import ApusTransport
import CApusShims
import Glibc
import Testing

@Suite(.timeLimit(.minutes(5)))
struct ProcessTests {
    // MARK: - Executable

    @Test func `the own executable is known by a descriptor and a path`() throws {
        let own = try OwnExecutable.open()
        defer { close(own.descriptor) }
        var running = stat()
        var named = stat()
        #expect(fstat(own.descriptor, &running) == 0 && stat(own.path, &named) == 0)
        #expect(running.st_ino == named.st_ino && running.st_dev == named.st_dev)
        #expect(own.path.hasPrefix("/"))
        #expect(fcntl(own.descriptor, F_GETFD) == FD_CLOEXEC)
    }

    // MARK: - Memory

    @Test func `a file that is no program is opened without waiting for anybody, and starts nothing`() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/pipe"
        try #require(mkfifo(path, 0o700) == 0)
        let descriptor = try Descriptors.openProgram(path)
        defer { close(descriptor) }
        #expect(throws: SystemError("posix_spawn", code: EACCES)) {
            try ChildProcess.run(
                executable: Descriptors.path(of: descriptor),
                arguments: ["pipe"],
                environment: [:],
                timeout: .seconds(1)
            ) { _ in }
        }
    }

    @Test(arguments: [0, 1, 100_000]) func `sealed memory is read as it was made, by several`(count: Int) throws {
        let bytes = pattern(count)
        let descriptor = try SealedMemory.make(bytes, name: "test")
        defer { close(descriptor) }
        #expect(fcntl(descriptor, F_GETFD) == FD_CLOEXEC)
        #expect(SealedMemory.read(descriptor) == bytes)
        #expect(SealedMemory.read(descriptor) == bytes)
    }

    @Test func `sealed memory cannot be changed`() throws {
        let descriptor = try SealedMemory.make([1, 2, 3], name: "test")
        defer { close(descriptor) }
        #expect(pwrite(descriptor, [9], 1, 0) == -1 && errno == EPERM)
        #expect(ftruncate(descriptor, 0) == -1 && ftruncate(descriptor, 10) == -1)
        #expect(SealedMemory.read(descriptor) == [1, 2, 3])
    }

    @Test func `what is not sealed memory is not read`() throws {
        let file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC)
        defer { close(file) }
        #expect(SealedMemory.read(file) == nil)
        #expect(SealedMemory.read(-1) == nil)
        #expect(SealedMemory.read(10_000) == nil)
    }

    @Test func `sealed memory has a limit`() throws {
        for (count, isRead) in [(SealedMemory.maxBytes, true), (SealedMemory.maxBytes + 1, false)] {
            let descriptor = try SealedMemory.make([UInt8](repeating: 7, count: count), name: "test")
            defer { close(descriptor) }
            #expect((SealedMemory.read(descriptor) != nil) == isRead)
        }
    }

    // MARK: - Title

    @Test func `a title takes the place of the command line, and no more`() async {
        await #expect(processExitsWith: .success) {
            let arguments = CommandLine.arguments
            let room = arguments.reduce(0) { $0 + $1.utf8.count + 1 }
            let variable = String(cString: getenv("PATH"))
            func shown() throws -> [String] {
                let command = try Shell.run("tr -d '\\0' </proc/\(getpid())/cmdline >&3").text
                return [command, try Shell.run("cat /proc/\(getpid())/comm >&3").text]
            }
            ProcessTitle.set("apus: worker 3")
            let fitting = try shown()
            #expect(fitting == ["apus: worker 3", "apus: worker 3\n"])
            ProcessTitle.set(String(repeating: "x", count: room + 100))
            let long = try shown()
            #expect(long == [String(repeating: "x", count: room - 1), "xxxxxxxxxxxxxxx\n"])
            ProcessTitle.set("")
            let empty = try shown()
            #expect(empty[0].isEmpty)
            #expect(CommandLine.arguments == arguments)
            #expect(String(cString: getenv("PATH")) == variable)
        }
    }

    // MARK: - Facts

    @Test func `the memory of a process is known`() throws {
        let ours = try #require(ProcessFacts.residentBytes(getpid()))
        #expect((1 << 20..<64 << 30).contains(ours))
        #expect(ProcessFacts.residentBytes(0) == nil)
        #expect(ProcessFacts.residentBytes(-5) == nil)
    }

    @Test func `threads that share a core wait for it`() async {
        await #expect(processExitsWith: .success) {
            try ProcessFacts.pinToCore(0)
            #expect(ProcessFacts.cores() == 1)
            let enough = try #require(ProcessFacts.runDelay(getpid())).nanoseconds + 20_000_000
            let (pid, control) = try Shell.start("while :; do :; done")
            let deadline = ContinuousClock.now + .seconds(20)
            var delay: UInt64 = 0
            while delay < enough, ContinuousClock.now < deadline {
                delay = try #require(ProcessFacts.runDelay(getpid())).nanoseconds
            }
            #expect(delay >= enough)
            ChildProcess.kill(pid, SIGKILL)
            #expect(Shell.wait(for: pid) == .signal(SIGKILL))
            close(control)
            #expect(ProcessFacts.runDelay(pid) == nil)
        }
    }

    @Test func `all threads are pinned, and later ones too`() async {
        await #expect(processExitsWith: .success) {
            try await withLoop { loop in
                // Past the last core it is counted on from the first.
                try ProcessFacts.pinToCore(1_000_003)
                let script = "grep -h Cpus_allowed_list /proc/\(getpid())/task/*/status | sort -u | wc -l >&3"
                #expect(try Shell.run(script).text == "1\n")
                #expect(try Shell.run("nproc >&3").text == "1\n")
                #expect(try await loop.run { ProcessFacts.cores() } == 1)
            }
        }
    }

    @Test func `there are as many cores as the system says`() throws {
        let all = try #require(Int(Shell.run("nproc >&3").text.dropLast()))
        #expect((1...all).contains(ProcessFacts.cores()))
    }
}
