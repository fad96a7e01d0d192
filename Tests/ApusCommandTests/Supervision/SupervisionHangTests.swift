import ApusHTTP
import Testing

@testable import ApusCommand

/// Workers whose loops stand still, and those who only seem to.
struct SupervisionHangTests {
    @Test func `a worker that does not answer is killed after its timeout and replaced`() {
        var bench = SupervisionBench.serving(workers: 2)
        bench.hanging = [1]
        // A ping at most a second later, the first examination a second after that.
        bench.advance(seconds: 30)
        #expect(bench.take() == [])
        bench.advance(seconds: 2.1)
        let actions = bench.take()
        #expect(actions.starts(with: [.kill(id: 1), .steer(newcomers: [1])]))
        #expect(actions.contains(.spawn(id: 3, index: 0, slot: 0)))
        #expect(bench.logged("worker 0 (slot 0) hangs: its loop has stood still for 30 s"))
    }

    @Test func `a worker that answers now and then is never killed`() {
        var bench = SupervisionBench.serving(workers: 1)
        for _ in 0..<20 {
            bench.hanging = [1]
            bench.advance(seconds: 29)
            bench.hanging = []
            bench.answerLate(1)
            bench.advance(seconds: 2)
        }
        #expect(bench.state(1) == .active)
    }

    @Test func `a worker that gets no core is not killed`() {
        var bench = SupervisionBench.serving(workers: 1)
        bench.hanging = [1]
        for _ in 0..<600 {
            bench.advance(seconds: 1)
            bench.runDelay = bench.runDelay + .seconds(1)
        }
        #expect(bench.state(1) == .active)
    }

    @Test func `one that gets half of a core has twice the time`() {
        var bench = SupervisionBench.serving(workers: 1)
        bench.hanging = [1]
        var seconds = 0
        while bench.state(1) == .active, seconds < 1000 {
            bench.advance(seconds: 1)
            bench.runDelay = bench.runDelay + .milliseconds(500)
            seconds += 1
        }
        #expect((58...64).contains(seconds), "\(seconds)")
    }

    @Test func `a supervisor that was away itself judges nobody for it`() {
        var bench = SupervisionBench.serving(workers: 1)
        bench.hanging = [1]
        bench.advance(seconds: 25)
        for _ in 0..<20 {
            bench.sleep(seconds: 10)
            bench.advance(seconds: 20)
        }
        #expect(bench.state(1) == .active)
        bench.advance(seconds: 12)
        #expect(bench.state(1) == nil)
    }

    @Test func `a supervisor that is a little late goes on counting`() {
        var bench = SupervisionBench.serving(workers: 1)
        bench.hanging = [1]
        bench.advance(seconds: 25)
        for _ in 0..<9 {
            bench.sleep(seconds: Double(bench.supervision.deadline?.since(bench.now).nanoseconds ?? 0) / 1e9 + 0.4)
            bench.advance(seconds: 0)
        }
        #expect(bench.state(1) == nil)
    }

    @Test func `an answer that the socket held already is read before anybody is judged`() {
        var supervision = SupervisionBench.serving(workers: 1).supervision
        var now = supervision.deadline ?? .distantFuture
        var last = 0
        var examinations = 0
        while examinations < 3 {
            supervision.handleTimeout(now)
            while let action = supervision.nextAction() {
                if case .ping(_, let number) = action { last = number }
                guard case .examine(let id) = action else { continue }
                examinations += 1
                if examinations == 2 {
                    supervision.handle(.pong(id: id, number: last, requests: 0, residentBytes: nil), now: now)
                }
                supervision.handle(.examined(id: id, runDelay: nil), now: now)
            }
            now = supervision.deadline ?? .distantFuture
        }
        #expect(supervision.workers[1]?.state == .active)
    }

    @Test func `a worker that starts or drains is not pinged`() {
        var bench = SupervisionBench(workers: 1)
        bench.hanging = [1]
        bench.feed(.start)
        bench.advance(seconds: 299)
        #expect(bench.state(1) == .starting)
        bench.ready(1)
        bench.feed(.stop(signal: 15))
        bench.advance(seconds: 39.9)
        #expect(bench.state(1) == .draining)
    }

    @Test func `a new worker that hangs before it takes over ends its batch`() {
        var bench = SupervisionBench.serving(workers: 2)
        bench.buries = false
        bench.feed(.reload)
        bench.ready(3)
        bench.hanging = [3]
        bench.advance(seconds: 33)
        #expect(bench.state(3) == .killed && bench.state(4) == .draining)
        bench.ready(4)
        bench.crash(3, signal: 9)
        bench.crash(4, signal: 9)
        #expect(bench.take().contains(.reloaded(succeeded: false)))
        #expect(bench.state(1) == .active && bench.state(2) == .active && bench.supervision.workers.count == 2)
    }

    @Test(arguments: [(30.0, 1.0), (4, 1), (2, 0.5)])
    func `pings come every second, or four times within a short timeout`(timeout: Double, interval: Double) {
        let now = Instant(nanoseconds: 5)
        var watch = HangWatch(timeout: .seconds(timeout), now: now)
        #expect(watch.due == now + .seconds(interval))
        #expect(watch.handleTimeout(now) == nil)
        #expect(watch.handleTimeout(watch.due) == .ping(number: 1))
        let silent = watch
        // An answer to another ping is none.
        watch.pong(0, now: watch.due)
        #expect(watch == silent)
        #expect(watch.handleTimeout(watch.due) == .examine)
        watch.pong(1, now: watch.due)
        #expect(watch.handleTimeout(watch.due) == .ping(number: 2))
    }

    @Test func `a thread that ends with its wait hides nothing, and what many wait is no more than the time`() {
        let start = Instant(nanoseconds: 0)
        var watch = HangWatch(timeout: .seconds(4), now: start)
        _ = watch.handleTimeout(start + .seconds(1))
        // Seconds, and the wait of all threads until then.
        let waits: [(Double, Double)] = [(2, 50), (3, 90), (4, 10), (5, 11), (6, 11), (7, 11.5)]
        for (second, wait) in waits {
            #expect(watch.examined(runDelay: .seconds(wait), now: start + .seconds(second)) == nil)
            #expect(watch.due == start + .seconds(second + 1))
        }
        // It has stood still for 0 + 1 + 0 + 1 + 0.5 s so far.
        #expect(watch.examined(runDelay: .seconds(11.5), now: start + .seconds(8)) == nil)
        #expect(watch.due == start + .seconds(8.5))
        #expect(watch.examined(runDelay: .seconds(11.5), now: start + .seconds(8.5)) == .seconds(4))
    }
}
