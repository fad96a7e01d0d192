import ApusGateway
import Glibc
import Synchronization

/// What keeps a worker waiting, busy, hung or large; and which worker it is.
extension Exchange {
    /// Memory that is never given back.
    private static let hoard = Mutex<[[UInt8]]>([])

    private func number(_ name: String, _ otherwise: Double) -> Double {
        parameter(name).flatMap { Double($0) } ?? otherwise
    }

    /// The process that answers.
    func tellProcess() async throws {
        try await answer("\(getpid())\n")
    }

    /// A long poll: answers after a while, without work.
    func poll() async throws {
        try await Task.sleep(for: .seconds(number("seconds", 1)))
        try await tellProcess()
    }

    /// Holds the loop's thread, which does nothing meanwhile.
    func block() async throws {
        usleep(UInt32(number("seconds", 1) * 1_000_000))
        try await tellProcess()
    }

    /// Works all the time, but lets the loop turn now and then.
    func work() async throws {
        let clock = ContinuousClock()
        let end = clock.now + .seconds(number("seconds", 1))
        let turn = Duration.seconds(number("turn", 0.1))
        while clock.now < end {
            let pause = clock.now + turn
            while clock.now < pause {}
            await Task.yield()
        }
        try await tellProcess()
    }

    func grow() async throws {
        let piece = [UInt8](repeating: 0x61, count: Int(number("mib", 1)) << 20)
        Self.hoard.withLock { $0.append(piece) }
        try await tellProcess()
    }

    /// Ends the process as a fault does.
    func die() throws -> Never {
        abort()
    }

    /// A stream of events without an end: only the server's leaving, or the client's, ends it.
    func streamEvents() async throws {
        try await send(.responseStart(status: 200, headers: ["content-type": "text/event-stream"]))
        while true {
            try await send(.responseBody("data: \(getpid())\n\n", more: true))
            try await Task.sleep(for: .milliseconds(100))
        }
    }
}
