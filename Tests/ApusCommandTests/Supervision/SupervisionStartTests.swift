import ApusHTTP
import Testing

@testable import ApusCommand

/// How workers start, and what follows when they do not, or die.
struct SupervisionStartTests {
    @Test func `all workers start at once, and connections wait where they will be`() {
        var bench = SupervisionBench(workers: 2, most: 3)
        bench.feed(.start)
        #expect(
            bench.take() == [
                .steer(newcomers: [0, 1]), .spawn(id: 1, index: 0, slot: 0), .spawn(id: 2, index: 1, slot: 1),
            ]
        )
    }

    @Test func `a worker takes new connections from when it is ready on`() {
        var bench = SupervisionBench(workers: 2, most: 2)
        bench.feed(.start)
        bench.forget()
        bench.ready(2)
        #expect(bench.take { $0.isSteer } == [.steer(newcomers: [1])])
        bench.ready(1)
        #expect(bench.take { $0.isSteer } == [.steer(newcomers: [0, 1])])
    }

    @Test func `the banner is shown once, when all are ready`() {
        var bench = SupervisionBench(workers: 2)
        bench.feed(.start)
        bench.ready(1)
        #expect(!bench.take().contains(.ready))
        bench.ready(2)
        #expect(bench.take().contains(.ready))
        bench.crash(1)
        bench.ready(3)
        #expect(!bench.take().contains(.ready))
    }

    @Test(arguments: [2, 3] as [Int32]) func `a worker that says that nobody can start is believed`(code: Int32) {
        var bench = SupervisionBench(workers: 2)
        bench.feed(.start)
        bench.forget()
        bench.exit(1, code: code)
        #expect(bench.take() == [.stopping, .drain(id: 2, isReloading: false)])
        bench.exit(2, code: code)
        #expect(bench.take() == [.exit(code: code)])
    }

    @Test func `the others of a start that fails get ten seconds, without requests to finish`() {
        var bench = SupervisionBench(workers: 2)
        bench.feed(.start)
        bench.exit(1, code: 3)
        bench.forget()
        bench.advance(seconds: 9.9)
        #expect(bench.take() == [])
        bench.advance(seconds: 0.2)
        #expect(bench.take() == [.kill(id: 2), .exit(code: 3)])
    }

    @Test(arguments: [2, 3] as [Int32]) func `once somebody was ready, no worker ends the supervisor`(code: Int32) {
        var bench = SupervisionBench(workers: 2)
        bench.feed(.start)
        bench.ready(1)
        bench.forget()
        bench.exit(2, code: code)
        bench.advance(seconds: 0.1)
        #expect(bench.take() == [.adopt(slot: 1, by: 1), .release(slot: 1, by: 1), .spawn(id: 3, index: 1, slot: 1)])
        for id in 3..<40 {
            bench.exit(id, code: code)
            bench.advance(seconds: 10)
        }
        #expect(bench.state(40) == .starting)
        #expect(bench.logged("37 times in a row"))
    }

    @Test func `five starts in a row that crash are enough while nobody was ever ready`() {
        var bench = SupervisionBench(workers: 1)
        bench.feed(.start)
        for id in 1...4 {
            bench.crash(id)
            bench.advance(seconds: 10)
            #expect(bench.state(id + 1) == .starting)
        }
        bench.forget()
        bench.crash(5)
        #expect(bench.take() == [.stopping, .exit(code: 3)])
        #expect(bench.logged("no worker can start"))
    }

    @Test func `where all stood still for a while, a start has its whole time again`() {
        var bench = SupervisionBench(workers: 1)
        bench.feed(.start)
        bench.forget()
        bench.sleep(seconds: 310)
        bench.advance(seconds: 299.9)
        #expect(bench.take() == [])
        bench.advance(seconds: 0.1)
        #expect(bench.take() == [.kill(id: 1)])
    }

    @Test func `a start that does not end is one that failed, and five of them are enough`() {
        var bench = SupervisionBench(workers: 1)
        bench.feed(.start)
        bench.forget()
        bench.advance(seconds: 299.9)
        #expect(bench.take() == [])
        bench.advance(seconds: 0.1)
        #expect(bench.take() == [.kill(id: 1)])
        #expect(bench.logged("worker 0 (slot 0) is not ready after 300 s; it is killed"))
        #expect(
            bench.logged("worker 0 (slot 0) did not start: it was killed by signal 9; its successor starts in 100 ms")
        )
        bench.advance(seconds: 0.1)
        #expect(bench.take() == [.spawn(id: 2, index: 0, slot: 0)])
        bench.advance(seconds: 4 * 310)
        #expect(bench.take().last == .exit(code: 3))
        #expect(bench.logged("no worker can start"))
    }

    @Test func `a start that has failed in time has nothing to fear of the limit`() {
        var bench = SupervisionBench(workers: 1)
        bench.feed(.start)
        bench.advance(seconds: 299)
        bench.crash(1)
        bench.advance(seconds: 299)
        bench.ready(2)
        bench.forget()
        bench.advance(seconds: 1000)
        #expect(bench.take() == [] && bench.state(2) == .active)
    }

    @Test func `a successor whose start does not end is killed, and the next one waits`() {
        var bench = SupervisionBench.serving(workers: 2)
        bench.crash(1)
        bench.forget()
        bench.advance(seconds: 300)
        #expect(bench.take() == [.kill(id: 3), .adopt(slot: 0, by: 2)])
        bench.advance(seconds: 0.1)
        #expect(bench.take { $0.isSpawn } == [.spawn(id: 4, index: 0, slot: 0)])
        bench.advance(seconds: 300)
        #expect(bench.logged("did not start: it was killed by signal 9, 2 times in a row"))
        #expect(bench.state(2) == .active && bench.supervision.ending == nil)
    }

    @Test func `one more whose start does not end is killed as well`() {
        var bench = SupervisionBench.serving(workers: 1, most: 2)
        bench.feed(.more)
        bench.forget()
        bench.advance(seconds: 300)
        #expect(bench.take { $0.isKill } == [.kill(id: 2)])
        #expect(bench.state(1) == .active)
    }

    @Test func `a worker that could not be spawned is one that did not start`() {
        var bench = SupervisionBench(workers: 1)
        bench.feed(.start)
        bench.feed(.spawnFailed(id: 1, reason: "out of memory"))
        #expect(bench.logged("out of memory"))
        bench.forget()
        bench.advance(seconds: 0.1)
        #expect(bench.take() == [.spawn(id: 2, index: 0, slot: 0)])
    }

    // MARK: - Deaths

    @Test func `a worker that dies is replaced at once, in its slot`() {
        var bench = SupervisionBench.serving(workers: 2)
        bench.crash(1, signal: 9)
        #expect(bench.take { $0.isSpawn || $0.isSteer } == [.steer(newcomers: [1]), .spawn(id: 3, index: 0, slot: 0)])
        #expect(bench.logged("worker 0 (slot 0) died: it was killed by signal 9; its successor starts at once"))
        bench.ready(3)
        #expect(bench.take { $0.isSteer } == [.steer(newcomers: [0, 1])])
    }

    @Test func `where the last worker dies, new connections wait for its successor`() {
        var bench = SupervisionBench.serving(workers: 1)
        bench.crash(1)
        #expect(bench.take() == [.spawn(id: 2, index: 0, slot: 0)])
        #expect(bench.supervision.newcomers == [0])
        bench.ready(2)
        #expect(bench.take() == [.reader(id: 2, isReader: true), .adopt(slot: 1, by: 2)])
    }

    @Test func `a worker that dies soon after each start waits longer each time, up to ten seconds`() {
        var bench = SupervisionBench.serving(workers: 1)
        for id in 1..<12 {
            bench.crash(id)
            #expect(bench.state(id + 1) == .starting)
            bench.advance(seconds: 10)
            bench.ready(id + 1)
        }
        var waits: [Double] = []
        for id in 12..<22 {
            bench.crash(id)
            let before = bench.now
            while bench.state(id + 1) == nil { bench.advance(seconds: 0.1) }
            waits.append((Double(bench.now.since(before).nanoseconds) / 1e8).rounded() / 10)
            bench.ready(id + 1)
        }
        #expect(waits == [0, 0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10])
    }

    @Test func `a slot whose successor has to wait is read by another meanwhile`() {
        var bench = SupervisionBench.serving(workers: 2)
        bench.acknowledges = false
        bench.crash(1)
        bench.forget()
        bench.crash(3)
        #expect(bench.take() == [.adopt(slot: 0, by: 2)])
        bench.advance(seconds: 0.1)
        #expect(bench.take() == [.release(slot: 0, by: 2)])
        bench.advance(seconds: 5)
        #expect(bench.take() == [])
        bench.feed(.released(slot: 0, by: 2))
        #expect(bench.take() == [.spawn(id: 4, index: 0, slot: 0)])
    }

    @Test func `what is said of a worker that is gone, or was never there, is ignored`() {
        var bench = SupervisionBench.serving(workers: 1)
        for id in [0, 7, -1] {
            bench.feed(.workerReady(id: id))
            bench.feed(.workerLeaving(id: id))
            bench.exit(id, code: 3)
            bench.feed(.spawnFailed(id: id, reason: ""))
            bench.feed(.pong(id: id, number: 1, requests: 1, residentBytes: nil))
            bench.feed(.examined(id: id, runDelay: nil))
            bench.feed(.released(slot: 1, by: id))
        }
        bench.feed(.released(slot: -1, by: 1))
        bench.feed(.released(slot: 2, by: 1))
        bench.feed(.released(slot: 1, by: 1))
        #expect(bench.take() == [])
    }
}

struct BackoffTests {
    @Test func `every failure doubles the wait, up to ten seconds`() {
        var backoff = Backoff()
        let waits = (0..<10).map { _ in backoff.fail().nanoseconds / 1_000_000 }
        #expect(waits == [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000, 10_000])
        backoff.succeed()
        #expect(backoff.fail() == Backoff.first)
    }

    @Test func `a worker that has lived for a second has not died early`() {
        var backoff = Backoff()
        #expect(backoff.die(wasReady: false, afterLiving: .seconds(100)) == .milliseconds(100))
        #expect(backoff.die(wasReady: true, afterLiving: .milliseconds(999)) == .milliseconds(100))
        #expect(backoff.die(wasReady: true, afterLiving: .seconds(1)) == .seconds(0))
        #expect(backoff.failures == 0)
    }
}
