import ApusHTTP
import CApusShims
import Glibc
import Synchronization
import Testing

@testable import ApusTransport

/// The tests with sockets, one at a time: one of them copies the process's descriptors for a moment, in
/// which others would find that a port they have closed is still taken.
@Suite(.serialized, .timeLimit(.minutes(5)))
enum SocketTests {}

/// Carries a value of the loop's thread through closures that the compiler takes to be on any thread.
final class Confined<Value>: @unchecked Sendable {
    var value: Value

    init(_ value: Value) {
        self.value = value
    }
}

/// Runs `body` with a started loop, and ends the loop afterwards.
func withLoop<Result>(_ body: (EventLoop) async throws -> Result) async throws -> Result {
    let loop = try EventLoop(name: "test-loop")
    try loop.start()
    defer {
        loop.stop()
        loop.join()
    }
    return try await body(loop)
}

extension EventLoop {
    /// Runs `work` on the loop and gives its result.
    func run<Result>(_ work: @escaping () throws -> Result) async throws -> Result {
        let work = Confined(work)
        let result = await withCheckedContinuation { continuation in
            submit { continuation.resume(returning: Confined(Swift.Result { try work.value() })) }
        }
        return try result.value.get()
    }
}

/// An event handler made of a closure.
final class ClosureHandler: EventHandler, TurnEndHandler, TimerHandler {
    var onEvents: (IOEvents) -> Void
    var onTurnEnd: () -> Void = {}
    var onTimer: (Instant) -> Void = { _ in }

    init(_ onEvents: @escaping (IOEvents) -> Void = { _ in }) {
        self.onEvents = onEvents
    }

    func handle(_ events: IOEvents) { onEvents(events) }
    func turnDidEnd() { onTurnEnd() }
    func timerFired(now: Instant) { onTimer(now) }
}

/// A value that comes later, waited for by one task.
final class Promise<Value: Sendable>: Sendable {
    private let stream: AsyncStream<Value>
    private let continuation: AsyncStream<Value>.Continuation

    init() {
        (stream, continuation) = AsyncStream.makeStream()
    }

    func fulfil(_ value: Value) {
        continuation.yield(value)
    }

    /// The next value.
    func next() async throws -> Value {
        for await value in stream { return value }
        throw SystemError("next", code: ECANCELED)
    }
}

/// Whether it comes true that a descriptor was closed which is nobody's but ours: a child that another test has just spawned
/// holds it until its exec, which is waited for.
func isClosedSoon(_ condition: () throws -> Bool) rethrows -> Bool {
    for _ in 0..<500 {
        if try condition() { return true }
        usleep(10_000)
    }
    return false
}

/// Whether nobody listens any more at an address whose socket was closed.
func isRefused(_ address: BindAddress) -> Bool {
    isClosedSoon {
        do {
            _ = try Client(address)
            return false
        } catch {
            return error as? SystemError == SystemError("connect", code: ECONNREFUSED)
        }
    }
}

/// A blocking stream client, which gives up after ten seconds.
final class Client {
    let descriptor: Int32

    init(_ address: BindAddress) throws {
        let family =
            switch address {
            case .unix, .abstract: AF_UNIX
            case .ip(let ip): ip.family == .ipv4 ? AF_INET : AF_INET6
            }
        descriptor = socket(family, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var limit = timeval(tv_sec: 10, tv_usec: 0)
        for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
            setsockopt(descriptor, SOL_SOCKET, option, &limit, socklen_t(MemoryLayout<timeval>.size))
        }
        let result: Int32
        switch address {
        case .ip(let ip):
            result = ip.withSockAddr { connect(descriptor, $0, $1) == 0 ? 0 : errno }
        case .unix, .abstract:
            result = try #require(UnixAddress(address)).apply(connect, to: descriptor)
        }
        guard result == 0 else { throw SystemError("connect", code: result) }
    }

    deinit {
        close(descriptor)
    }

    func write(_ bytes: [UInt8]) throws {
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes { raw in
                uninterrupted {
                    send(descriptor, raw.baseAddress.map { $0 + sent }, raw.count - sent, Int32(MSG_NOSIGNAL))
                }
            }
            guard count > 0 else { throw SystemError("send", code: errno) }
            sent += count
        }
    }

    /// At most `count` bytes; none at the end.
    func read(_ count: Int) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        let result = uninterrupted { recv(descriptor, &bytes, count, 0) }
        guard result >= 0 else { throw SystemError("recv", code: errno) }
        return Array(bytes[..<result])
    }

    /// Exactly `count` bytes, or what there is before the end.
    func readAll(_ count: Int = .max) throws -> [UInt8] {
        var bytes: [UInt8] = []
        while bytes.count < count {
            let more = try read(min(count - bytes.count, 65_536))
            if more.isEmpty { break }
            bytes += more
        }
        return bytes
    }

    func finish() {
        shutdown(descriptor, Int32(SHUT_WR))
    }

    /// Calls again what a signal has interrupted: those of other tests reach any thread, and a socket with a time limit is
    /// not waited for again by itself (signal(7)).
    private func uninterrupted(_ call: () -> Int) -> Int {
        while true {
            let result = call()
            if result >= 0 || errno != EINTR { return result }
        }
    }
}

func loopback(_ family: SocketAddress.Family, port: UInt16 = 0) throws -> SocketAddress {
    try #require(SocketAddress(literal: family == .ipv4 ? "127.0.0.1" : "::1", port: port))
}

/// The bytes 0, 1, 2 … with a period that no buffer size divides.
func pattern(_ count: Int) -> [UInt8] {
    (0..<count).map { UInt8($0 % 251) }
}
