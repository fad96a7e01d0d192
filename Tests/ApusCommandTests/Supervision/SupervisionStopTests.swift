import Apus
import ApusHTTP
import Testing

@testable import ApusCommand

/// Every way to the end.
struct SupervisionStopTests {
    @Test(arguments: [2, 15] as [Int32]) func `a stop drains all, and ends after the last with code 0`(signal: Int32) {
        var bench = SupervisionBench.serving(workers: 2)
        bench.feed(.stop(signal: signal))
        #expect(
            bench.take() == [.stopping, .drain(id: 1, isReloading: false), .drain(id: 2, isReloading: false)]
        )
        bench.exit(2)
        #expect(bench.take() == [])
        bench.exit(1)
        #expect(bench.take() == [.exit(code: 0)])
        bench.feed(.stop(signal: signal))
        bench.feed(.reload)
        bench.advance(seconds: 1000)
        #expect(bench.take() == [])
    }

    @Test(arguments: [2, 15] as [Int32]) func `a second stop kills all, with the code of its signal`(signal: Int32) {
        var bench = SupervisionBench.serving(workers: 2)
        bench.buries = false
        bench.feed(.stop(signal: 15))
        bench.forget()
        bench.feed(.stop(signal: signal))
        #expect(bench.take() == [.kill(id: 1), .kill(id: 2), .exit(code: 128 + signal)])
    }

    @Test func `SIGQUIT kills all at once`() {
        var bench = SupervisionBench.serving(workers: 2)
        bench.buries = false
        bench.feed(.stopNow(signal: 3))
        #expect(bench.take() == [.kill(id: 1), .kill(id: 2), .exit(code: 131)])
        #expect(bench.supervision.deadline == nil)
    }

    @Test func `while all drain, somebody who has not left reads the shared sockets`() {
        var bench = SupervisionBench.serving(workers: 3)
        bench.feed(.stop(signal: 15))
        #expect(bench.take { $0.isReader } == [])
        bench.exit(1)
        #expect(bench.take() == [.reader(id: 2, isReader: true)])
        bench.exit(3)
        #expect(bench.take() == [])
        bench.exit(2)
        #expect(bench.take() == [.exit(code: 0)])
    }

    @Test func `a worker that fails while it stops does not change the code`() {
        var bench = SupervisionBench.serving(workers: 2)
        bench.feed(.stop(signal: 15))
        bench.forget()
        bench.exit(1, code: 1)
        bench.crash(2)
        #expect(bench.take { !$0.isReader } == [.exit(code: 0)])
        #expect(bench.logged("worker 0 (slot 0) has left: it exited with code 1"))
        #expect(bench.logged("worker 1 (slot 1) has left: it was killed by signal 11"))
    }

    @Test func `one that has to be killed at its deadline does`() {
        var bench = SupervisionBench.serving(workers: 2)
        bench.feed(.stop(signal: 15))
        bench.exit(1)
        bench.forget()
        bench.advance(seconds: 39.9)
        #expect(bench.take() == [])
        bench.advance(seconds: 0.2)
        #expect(bench.take() == [.kill(id: 2), .exit(code: 1)])
        #expect(bench.logged("worker 1 (slot 1) has not left in time"))
    }

    @Test func `a worker has the time of its drain, all steps of it, and of its application's shutdown`() {
        var configuration = Configuration()
        configuration.gracefulTimeout = 20
        #expect(configuration.longestEnd == .seconds(20 + 1 + 20))
        configuration.disconnectGrace = 4
        #expect(configuration.longestEnd == .seconds(20 + 4 + 1 + 20))
        configuration.disconnectGrace = 60
        #expect(configuration.longestEnd == .seconds(20 + 5 + 1 + 20))
        configuration.gracefulTimeout = .infinity
        #expect(configuration.longestEnd == TimeSpan(nanoseconds: .max))
    }

    @Test func `a stop during the start lets the starting ones go`() {
        var bench = SupervisionBench(workers: 2)
        bench.feed(.start)
        bench.ready(1)
        bench.forget()
        bench.feed(.stop(signal: 2))
        bench.ready(2)
        bench.exit(2, code: 3)
        bench.exit(1)
        let ends = bench.take()
        #expect(ends.first == .stopping && ends.last == .exit(code: 0) && !ends.contains { $0.isSpawn || $0.isSteer })
    }

    @Test func `a start that does not end in time loses nothing, and changes no code`() {
        var bench = SupervisionBench(workers: 1)
        bench.feed(.start)
        bench.feed(.stop(signal: 15))
        bench.forget()
        bench.advance(seconds: 9.9)
        #expect(bench.take() == [])
        bench.advance(seconds: 0.2)
        #expect(bench.take() == [.kill(id: 1), .exit(code: 0)])
    }

    @Test func `one that is ready when it is to leave already has its time to leave`() {
        var bench = SupervisionBench(workers: 1)
        bench.feed(.start)
        bench.feed(.stop(signal: 15))
        bench.advance(seconds: 5)
        bench.ready(1)
        bench.forget()
        bench.advance(seconds: 39.9)
        #expect(bench.take { !$0.isReader } == [])
        bench.advance(seconds: 0.2)
        #expect(bench.take() == [.kill(id: 1), .exit(code: 1)])
    }

    @Test func `a stop while a successor waits ends at once`() {
        var bench = SupervisionBench(workers: 1)
        bench.feed(.start)
        bench.crash(1)
        bench.forget()
        bench.feed(.stop(signal: 15))
        #expect(bench.take() == [.stopping, .exit(code: 0)])
    }

    @Test func `a stop during a reload lets old and new ones go`() {
        var bench = SupervisionBench.serving(workers: 2)
        bench.feed(.reload)
        bench.ready(3)
        bench.forget()
        bench.feed(.stop(signal: 15))
        #expect(bench.take() == [.stopping] + (1...4).map { .drain(id: $0, isReloading: false) })
        bench.ready(4)
        for id in 1...4 { bench.exit(id) }
        #expect(bench.take { !$0.isReader } == [.exit(code: 0)])
    }

    @Test func `a stop while a new executable is checked forgets the check`() {
        var bench = SupervisionBench.serving(workers: 1)
        bench.feed(.upgradeRequested)
        bench.feed(.stop(signal: 15))
        bench.forget()
        bench.feed(.executableChecked(isUsable: true, text: ""))
        bench.feed(.upgradeRequested)
        bench.feed(.more)
        bench.feed(.fewer)
        #expect(bench.take() == [])
        bench.exit(1)
        #expect(bench.take() == [.exit(code: 0)])
    }

    @Test func `a stop leaves those alone that drain already`() {
        var bench = SupervisionBench.serving(workers: 1)
        bench.feed(.reload)
        bench.ready(2)
        bench.advance(seconds: 20)
        bench.forget()
        bench.feed(.stop(signal: 15))
        #expect(bench.take() == [.stopping, .drain(id: 2, isReloading: false)])
        bench.advance(seconds: 20)
        #expect(bench.take() == [.kill(id: 1)])
    }

    @Test func `where all stood still for a while, workers have the time left to end by themselves`() {
        var bench = SupervisionBench.serving(workers: 1)
        bench.feed(.stop(signal: 15))
        bench.forget()
        bench.sleep(seconds: 50)
        bench.advance(seconds: 9.9)
        #expect(bench.take() == [])
        bench.advance(seconds: 0.1)
        #expect(bench.take() == [.kill(id: 1), .exit(code: 1)])
    }

    @Test func `a supervisor that is only slow gives nobody more time`() {
        var bench = SupervisionBench.serving(workers: 1)
        bench.feed(.stop(signal: 15))
        bench.forget()
        bench.sleep(seconds: 49.9)
        bench.advance(seconds: 0)
        #expect(bench.take() == [.kill(id: 1), .exit(code: 1)])
    }
}
