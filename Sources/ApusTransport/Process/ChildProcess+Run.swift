import ApusHTTP
import CApusShims
import Glibc

extension ChildProcess {
    /// How a program that was run has ended, and what it has said.
    package struct Ending: Hashable, Sendable {
        package let reason: ExitReason
        /// The beginning of its standard error.
        package let standardError: String
        /// Whether it was killed because its time was up.
        package let isTimedOut: Bool
    }

    /// What is kept of a program's standard error; the rest is read and dropped.
    package static let maxStandardErrorBytes = 65_536
    /// How often a program is looked at that says nothing.
    private static let pollInterval = TimeSpan.milliseconds(20)

    /// Runs a program to its end on a thread of its own, with nothing to read and its standard error caught.
    ///
    /// It leads a process group, which is killed as a whole when the time is up (``killGroup(_:)``).
    ///
    /// - Parameters:
    ///   - path: The program's file; `PATH` is not searched.
    ///   - passed: What it finds as descriptor 3, if anything; must stay open until `then` is called.
    ///   - then: Is called on that thread, once, where the program could be started.
    /// - Returns: The process, which that thread reaps.
    @discardableResult
    package static func run(
        executable path: String,
        arguments: [String],
        environment: [String: String],
        passing passed: Int32? = nil,
        timeout: TimeSpan,
        then: @escaping @Sendable (Ending) -> Void
    ) throws(SystemError) -> pid_t {
        let (output, input) = try Pipe.make()
        let result = withStrings(arguments, environment) { arguments, environment in
            apus_spawn(-1, path, arguments, environment, passed ?? -1, input, 1)
        }
        close(input)
        guard result > 0 else {
            close(output)
            throw SystemError("posix_spawn", code: -result)
        }
        do throws(SystemError) {
            try BackgroundThread.start {
                then(ending(of: result, output: output, deadline: Clock.now() + timeout))
            }
        } catch {
            // Nobody would watch over it.
            killGroup(result)
            close(output)
            var status: Int32 = 0
            waitpid(result, &status, 0)
            throw error
        }
        return result
    }

    /// Kills a program that is run, and what it has started.
    package static func killGroup(_ process: pid_t) {
        // Of 0 and 1 it would be our own group, and everybody.
        if process > 1 { Glibc.kill(-process, SIGKILL) }
    }

    /// Blocks until the program has ended or its time is up; closes `output`.
    private static func ending(of process: pid_t, output: Int32, deadline: Instant) -> Ending {
        var said = CapturedOutput(descriptor: output, limit: maxStandardErrorBytes)
        defer { close(output) }
        var isTimedOut = false
        // Not until its standard error ends: a process that it has left behind may hold that.
        while true {
            said.wait(atMost: min(pollInterval, deadline.since(Clock.now())))
            if let reason = exited(process) {
                said.read()
                return Ending(reason: reason, standardError: said.text, isTimedOut: isTimedOut)
            }
            if !isTimedOut, Clock.now() >= deadline {
                isTimedOut = true
                killGroup(process)
            }
        }
    }
}

/// The beginning of what a program says through a pipe that does not block.
private struct CapturedOutput {
    private var descriptor: Int32
    private let limit: Int
    private var bytes: [UInt8] = []
    /// As much as a pipe holds: one read takes all that is there, and who writes without end keeps nobody from the clock.
    private var piece = [UInt8](repeating: 0, count: 65_536)

    init(descriptor: Int32, limit: Int) {
        self.descriptor = descriptor
        self.limit = limit
    }

    var text: String { String(decoding: bytes, as: UTF8.self) }

    /// Waits for more, and reads it.
    mutating func wait(atMost time: TimeSpan) {
        // A negative descriptor, that of an output that has ended, only waits. A time of nothing comes once the program
        // is killed, and its end is near.
        var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        if poll(&entry, 1, Int32(clamping: max(1, time.nanoseconds / 1_000_000))) > 0 { read() }
    }

    /// Reads what is there.
    mutating func read() {
        guard descriptor >= 0 else { return }
        let count = SystemCall.read(descriptor, &piece)
        if count > 0 {
            bytes += piece[..<min(count, limit - bytes.count)]
        } else if count != -Int(EAGAIN) {
            descriptor = -1
        }
    }
}
