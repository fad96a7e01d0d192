import ApusHTTP
import ApusTransport
import CApusShims
import Glibc
import Testing

/// One queue at a time: the signals are the process's.
@Suite(.serialized, .timeLimit(.minutes(5)))
struct SignalQueueTests {
    /// Registers a queue for as long as `body` runs.
    private func withSignals(
        _ queue: SignalQueue,
        _ body: (Promise<Int32>) async throws -> Void
    ) async throws {
        let queue = Confined(queue)
        let received = Promise<Int32>()
        try await withLoop { loop in
            try await loop.run { try queue.value.register(on: loop) { received.fulfil($0) } }
            try await body(received)
            try await loop.run { queue.value.close() }
        }
    }

    private func expect(
        _ signal: Int32,
        from received: Promise<Int32>,
        sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        let next = try await received.next()
        #expect(next == signal, sourceLocation: sourceLocation)
    }

    /// A signal is caught on whatever thread takes it, soon.
    private func waitUntil(_ queue: SignalQueue, holds count: Int32) async {
        var held: Int32 = 0
        while held < count {
            _ = ioctl(queue.output, UInt(FIONREAD), &held)
            await Task.yield()
        }
    }

    @Test func `signals are delivered on the loop`() async throws {
        try await withSignals(.install([SIGUSR1, SIGUSR2])) { received in
            kill(getpid(), SIGUSR1)
            try await expect(SIGUSR1, from: received)
            kill(getpid(), SIGUSR2)
            try await expect(SIGUSR2, from: received)
            kill(getpid(), SIGUSR1)
            try await expect(SIGUSR1, from: received)
        }
    }

    @Test func `the end of a child is a signal too`() async throws {
        try await withSignals(.install([SIGCHLD])) { received in
            let (pid, control) = try Shell.start("read word <&3; exit 5")
            close(control)
            var reason: ExitReason?
            while reason == nil {
                try await expect(SIGCHLD, from: received)
                reason = ChildProcess.exited(pid)
            }
            #expect(reason == .code(5))
        }
    }

    @Test func `signals that came before there was a loop are delivered in order, each kind once`() async throws {
        let queue = try SignalQueue.install([SIGUSR1, SIGUSR2, SIGHUP])
        kill(getpid(), SIGUSR2)
        await waitUntil(queue, holds: 1)
        kill(getpid(), SIGUSR1)
        await waitUntil(queue, holds: 2)
        for _ in 0..<1000 { kill(getpid(), SIGUSR2) }
        // Until the last of them has come.
        let isPending = "! grep -q '^ShdPnd:.*0000000000000000$' /proc/\(getpid())/status"
        while try Shell.run(isPending).reason == .code(0) {}
        try await withSignals(queue) { received in
            try await expect(SIGUSR2, from: received)
            try await expect(SIGUSR1, from: received)
            kill(getpid(), SIGHUP)
            try await expect(SIGHUP, from: received)
        }
    }

    @Test func `a signal that every other thread blocks is delivered`() async throws {
        await #expect(processExitsWith: .success) {
            var all = sigset_t()
            sigfillset(&all)
            pthread_sigmask(SIG_SETMASK, &all, nil)
            let queue = try SignalQueue.install([SIGUSR1])
            kill(getpid(), SIGUSR1)
            var entry = pollfd(fd: queue.output, events: Int16(POLLIN), revents: 0)
            try #require(poll(&entry, 1, 10_000) == 1)
        }
    }

    @Test func `there is one queue at a time, and its end gives the signals their default effect`() throws {
        let queue = try SignalQueue.install([SIGUSR1])
        let error = #expect(throws: SystemError.self) { try SignalQueue.install([SIGUSR2]) }
        #expect(error?.code == EBUSY)
        queue.close()
        queue.close()
        var action = sigaction()
        sigaction(SIGUSR1, nil, &action)
        #expect(action.__sigaction_handler.sa_handler == nil)
        try SignalQueue.install([SIGUSR2]).close()
    }

    @Test func `a signal that cannot be caught is refused`() throws {
        let error = #expect(throws: SystemError.self) { try SignalQueue.install([SIGUSR1, SIGKILL]) }
        #expect(error?.code == EINVAL)
        #expect(throws: SystemError.self) { try SignalQueue.install([10_000]) }
        try SignalQueue.install([SIGUSR1]).close()
    }

    @Test func `a queue goes on with the pipe of the one before`() async throws {
        let first = try SignalQueue.install([SIGUSR1])
        kill(getpid(), SIGUSR1)
        await waitUntil(first, holds: 1)
        let (output, input) = (dup(first.output), dup(first.input))
        first.close()
        try await withSignals(.install([SIGUSR1, SIGUSR2], adopting: output, input)) { received in
            #expect(fcntl(output, F_GETFD) == FD_CLOEXEC)
            try await expect(SIGUSR1, from: received)
            kill(getpid(), SIGUSR2)
            try await expect(SIGUSR2, from: received)
        }
    }

    @Test func `a signal whose turn has not come when the image is replaced is the new image's`() async throws {
        let queue = Confined(try SignalQueue.install([SIGUSR1, SIGUSR2]))
        kill(getpid(), SIGUSR1)
        await waitUntil(queue.value, holds: 1)
        kill(getpid(), SIGUSR2)
        await waitUntil(queue.value, holds: 2)
        let left = Promise<Int32>()
        try await withLoop { loop in
            let output = queue.value.output
            try await loop.run {
                try queue.value.register(on: loop) { _ in
                    // What a new image would find, were this one replaced for the signal that is being acted on.
                    var held: Int32 = 0
                    _ = ioctl(output, UInt(FIONREAD), &held)
                    left.fulfil(held)
                }
            }
            try await expect(1, from: left)
            try await expect(0, from: left)
            try await loop.run { queue.value.close() }
        }
    }

    @Test func `a new image is told the process, the pipe and the signals`() throws {
        let queue = try SignalQueue.install([SIGUSR1, SIGUSR2])
        defer { queue.close() }
        #expect(queue.handover == "\(getpid()) \(queue.input) \(SIGUSR1) \(SIGUSR2)")
    }
}
