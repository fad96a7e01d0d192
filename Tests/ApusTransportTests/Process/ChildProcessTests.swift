import ApusHTTP
import ApusTransport
import CApusShims
import Glibc
import Synchronization
import Testing

@Suite(.timeLimit(.minutes(5)))
struct ChildProcessTests {
    @Test func `a child finds its arguments, its environment and its control as descriptor 3`() throws {
        let executable = open("/bin/sh", O_RDONLY | O_CLOEXEC)
        var ends: [Int32] = [-1, -1]
        try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, &ends) == 0)
        let pid = try ChildProcess.spawn(
            executable: executable,
            arguments: ["a name", "-c", "read word <&3; echo \"$0 $1 $word $LETTERS$HOME\" >&3", "zero", "one"],
            environment: ["LETTERS": "a=b c"],
            control: ends[1]
        )
        close(executable)
        close(ends[1])
        #expect(write(ends[0], "hello\n", 6) == 6)
        #expect(Shell.readLine(ends[0]) == "zero one hello a=b c")
        #expect(Shell.wait(for: pid) == .code(0))
        close(ends[0])
    }

    @Test func `a child is given nothing of ours beside`() throws {
        let secret = open("/dev/null", O_RDONLY | O_CLOEXEC)
        defer { close(secret) }
        let result = try Shell.run("test -e /proc/self/fd/\(secret) && echo there >&3; test -e /proc/self/fd/3")
        #expect(result == ("", .code(0)))
    }

    @Test func `a child begins with every signal at its default and none blocked`() throws {
        var blocked = sigset_t()
        var previous = sigset_t()
        sigemptyset(&blocked)
        for signal in [SIGTERM, SIGUSR2, SIGHUP] { sigaddset(&blocked, signal) }
        pthread_sigmask(SIG_BLOCK, &blocked, &previous)
        let handler = signal(SIGTTIN, SIG_IGN)
        defer {
            pthread_sigmask(SIG_SETMASK, &previous, nil)
            signal(SIGTTIN, handler)
        }
        let text = try Shell.run("grep -E '^Sig(Blk|Ign)' /proc/self/status >&3").text
        let sets = text.split(separator: "\n").compactMap { UInt64($0.suffix(16), radix: 16) }
        // From 32 on they are the C library's own, which it lets nobody change.
        #expect(sets.map { $0 & 0x7FFF_FFFF } == [0, 0])
    }

    @Test(arguments: [Int32(0), 1, 2, 3, 77, 255]) func `a code is told as it is`(code: Int32) throws {
        #expect(try Shell.run("exit \(code)").reason == .code(code))
    }

    @Test func `a child that runs has not exited, and one that was killed says by what`() throws {
        let (pid, control) = try Shell.start("read word <&3")
        defer { close(control) }
        #expect(ChildProcess.exited(pid) == nil)
        #expect(isAlive(pid))
        #expect(ChildProcess.kill(pid, SIGKILL))
        #expect(Shell.wait(for: pid) == .signal(SIGKILL))
        #expect(ChildProcess.exited(pid) == .code(-1))
        #expect(!isAlive(pid))
        #expect(!ChildProcess.kill(pid, SIGKILL))
    }

    @Test(arguments: [pid_t(0), -1]) func `a signal is never sent to several processes`(pid: pid_t) {
        #expect(!ChildProcess.kill(pid, 0))
    }

    @Test func `a descriptor that is no program starts nothing`() {
        let error = #expect(throws: SystemError.self) {
            try ChildProcess.spawn(executable: 10_000, arguments: ["x"], environment: [:], control: 0)
        }
        #expect(error?.code == ENOENT)
    }

    // MARK: - run

    private func run(
        _ script: String,
        passing passed: Int32? = nil,
        timeout: TimeSpan = .seconds(30)
    ) async throws -> ChildProcess.Ending {
        let ending = Promise<ChildProcess.Ending>()
        try ChildProcess.run(
            executable: "/bin/sh",
            arguments: ["sh", "-c", script],
            environment: ["PATH": "/usr/bin:/bin"],
            passing: passed,
            timeout: timeout
        ) { ending.fulfil($0) }
        return try await ending.next()
    }

    @Test func `a program that is run has its error output caught and reads nothing`() async throws {
        let ending = try await run("cat; echo lost; echo one >&2; echo two >&2; exit 7")
        #expect(ending.reason == .code(7) && ending.standardError == "one\ntwo\n" && !ending.isTimedOut)
    }

    @Test func `a program that is run can be passed a descriptor`() async throws {
        let memory = try SealedMemory.make(Array("state".utf8), name: "test")
        defer { close(memory) }
        #expect(try await run("cat <&3 >&2", passing: memory).standardError == "state")
    }

    @Test func `of a program that says much only the beginning is kept`() async throws {
        let most = ChildProcess.maxStandardErrorBytes
        let exact = try await run("head -c \(most) /dev/zero >&2")
        #expect(exact.standardError.utf8.count == most)
        let more = try await run("head -c \(most + 1) /dev/zero | tr '\\0' x >&2; echo end >&2")
        #expect(more.reason == .code(0))
        #expect(more.standardError == String(repeating: "x", count: most))
    }

    @Test func `a program whose time is up is killed with what it has started`() async throws {
        let ending = try await run("sleep 1000 & echo $! >&2; wait", timeout: .seconds(2))
        #expect(ending.isTimedOut)
        #expect(ending.reason == .signal(SIGKILL))
        let sleeper = try #require(pid_t(ending.standardError.dropLast()))
        // Killed at the same moment; whoever adopts it may take a while to reap it.
        while ProcessFacts.residentBytes(sleeper) ?? 0 > 0 { try await Task.sleep(for: .milliseconds(1)) }
    }

    @Test func `a program that never stops speaking is killed when its time is up`() async throws {
        let ending = try await run("exec cat /dev/zero >&2", timeout: .seconds(2))
        #expect(ending.isTimedOut && ending.reason == .signal(SIGKILL))
        #expect(ending.standardError.utf8.count == ChildProcess.maxStandardErrorBytes)
    }

    @Test func `what a program has left behind may speak for ever`() async throws {
        // Until nobody listens any more.
        let ending = try await run("cat /dev/zero >&2 &")
        #expect(ending.reason == .code(0) && !ending.isTimedOut)
    }

    @Test func `a program that is run can be killed with what it has started`() async throws {
        var ends: [Int32] = [-1, -1]
        try #require(apus_pipe(&ends) == 0)
        let (output, input) = (ends[0], ends[1])
        defer { close(output) }
        let ending = Promise<ChildProcess.Ending>()
        let process = try ChildProcess.run(
            executable: "/bin/sh",
            arguments: ["sh", "-c", "sleep 1000 & echo ready >&3; wait"],
            environment: ["PATH": "/usr/bin:/bin"],
            passing: input,
            timeout: .seconds(30)
        ) { ending.fulfil($0) }
        close(input)
        #expect(Shell.readLine(output) == "ready")
        ChildProcess.killGroup(process)
        #expect(try await ending.next().reason == .signal(SIGKILL))
        // Both of them have had the other end.
        #expect(Shell.readLine(output).isEmpty)
    }

    @Test func `a program that leaves another behind has ended all the same`() async throws {
        let ending = try await run("sleep 1000 & echo $! >&2")
        #expect(ending.reason == .code(0) && !ending.isTimedOut)
        let sleeper = try #require(pid_t(ending.standardError.dropLast()))
        #expect(ChildProcess.kill(sleeper, SIGKILL))
    }

    @Test func `a program that is not there is not run`() {
        let error = #expect(throws: SystemError.self) {
            try ChildProcess.run(executable: "/none", arguments: ["x"], environment: [:], timeout: .seconds(1)) { _ in }
        }
        #expect(error?.code == ENOENT)
    }

    // MARK: - replaceImage

    @Test func `a program takes this one's place, with the descriptors that are kept`() async {
        await #expect(processExitsWith: .exitCode(42)) {
            let kept = open("/dev/null", O_RDONLY | O_CLOEXEC)
            let closed = open("/dev/null", O_RDONLY | O_CLOEXEC)
            signal(SIGTTIN, SIG_IGN)
            let script = """
                test -e /proc/self/fd/\(kept) && ! test -e /proc/self/fd/\(closed) && test $$ = \(getpid()) \
                && test "$WORD" = yes && grep -Eq '^SigIgn.*[08]0000000$' /proc/self/status && exit 42
                """
            _ = ChildProcess.replaceImage(
                executable: "/bin/sh",
                arguments: ["sh", "-c", script],
                environment: ["WORD": "yes", "PATH": "/usr/bin:/bin"],
                keeping: [kept]
            )
        }
    }

    @Test func `signals that come while the image is replaced wait for the new one`() async {
        await #expect(processExitsWith: .success) {
            // All but KILL and STOP, which cannot be blocked, faults, and the C library's own.
            _ = ChildProcess.replaceImage(
                executable: "/bin/grep",
                arguments: ["grep", "-q", "^SigBlk.*fffffffe3ffbfa07$", "/proc/self/status"],
                environment: [:],
                keeping: []
            )
            exit(9)
        }
    }

    @Test func `an image that cannot be replaced is as it was`() {
        let descriptor = open("/dev/null", O_RDONLY | O_CLOEXEC)
        defer { close(descriptor) }
        let handler = signal(SIGTTOU, SIG_IGN)
        defer { signal(SIGTTOU, handler) }
        var before = sigset_t()
        var after = sigset_t()
        pthread_sigmask(SIG_SETMASK, nil, &before)
        let error = ChildProcess.replaceImage(
            executable: "/none",
            arguments: ["none"],
            environment: [:],
            keeping: [descriptor]
        )
        pthread_sigmask(SIG_SETMASK, nil, &after)
        #expect(error == SystemError("execve", code: ENOENT))
        #expect(fcntl(descriptor, F_GETFD) == FD_CLOEXEC)
        #expect(memcmp(&before, &after, MemoryLayout<sigset_t>.size) == 0)
        var action = sigaction()
        sigaction(SIGTTOU, nil, &action)
        #expect(unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self) == 1, "no longer ignored")
    }

    @Test func `no image is replaced that could not find all that it needs`() {
        let descriptor = open("/dev/null", O_RDONLY | O_CLOEXEC)
        defer { close(descriptor) }
        let error = ChildProcess.replaceImage(
            executable: "/none",
            arguments: ["none"],
            environment: [:],
            keeping: [descriptor, 10_000]
        )
        #expect(error == SystemError("fcntl", code: EBADF))
        #expect(fcntl(descriptor, F_GETFD) == FD_CLOEXEC)
    }
}
