import ApusHTTP
import Testing

@testable import ApusCommand

/// New workers for old ones: reload, recycling, and a worker that somebody else stops; more workers and fewer.
struct SupervisionReplacementTests {
    @Test func `a reload starts all in the partner slots, switches once, and then the old ones drain`() {
        var bench = SupervisionBench.serving(workers: 2)
        bench.feed(.reload)
        #expect(
            bench.take() == [
                .reloading, .release(slot: 2, by: 1), .release(slot: 3, by: 2),
                .spawn(id: 3, index: 0, slot: 2), .spawn(id: 4, index: 1, slot: 3),
            ]
        )
        bench.ready(4)
        #expect(bench.take() == [])
        #expect(bench.state(4) == .standby)
        bench.ready(3)
        #expect(
            bench.take() == [
                .reloaded(succeeded: true), .steer(newcomers: [2, 3]),
                .reader(id: 1, isReader: false), .reader(id: 3, isReader: true),
                .drain(id: 1, isReloading: true), .drain(id: 2, isReloading: true),
            ]
        )
        bench.exit(1)
        #expect(bench.take() == [.adopt(slot: 0, by: 3)])
    }

    @Test func `no new worker is spawned before the slot's adopter has let go`() {
        var bench = SupervisionBench.serving(workers: 1)
        bench.acknowledges = false
        bench.feed(.reload)
        #expect(bench.take() == [.reloading, .release(slot: 1, by: 1)])
        bench.feed(.released(slot: 1, by: 1))
        #expect(bench.take() == [.spawn(id: 2, index: 0, slot: 1)])
    }

    @Test func `reloads that come while the last one's workers drain are one`() {
        var bench = SupervisionBench.serving(workers: 2)
        bench.feed(.reload)
        bench.ready(3, 4)
        bench.forget()
        for _ in 0..<5 { bench.feed(.reload) }
        bench.exit(1)
        #expect(bench.take { $0.isSpawn || $0 == .reloading } == [.reloading])
        bench.exit(2)
        // The slot that nobody reads yet is the first.
        #expect(bench.take { $0.isSpawn } == [.spawn(id: 5, index: 1, slot: 1), .spawn(id: 6, index: 0, slot: 0)])
        bench.ready(5, 6)
        #expect(bench.take().contains(.reloaded(succeeded: true)))
        bench.exit(3)
        bench.exit(4)
        #expect(bench.take { $0.isSpawn } == [])
    }

    @Test func `a reload that comes while new workers start is done after theirs`() {
        var bench = SupervisionBench.serving(workers: 1)
        bench.feed(.reload)
        bench.feed(.reload)
        bench.ready(2)
        // The service manager is told once that all is done.
        #expect(bench.take { $0 == .reloading || $0 == .reloaded(succeeded: true) } == [.reloading])
        bench.exit(1)
        bench.ready(3)
        #expect(bench.take().contains(.reloaded(succeeded: true)))
        #expect(bench.supervision.newcomers == [0])
    }

    @Test func `where a new worker fails the new ones leave, and the old ones go on`() {
        var bench = SupervisionBench.serving(workers: 2)
        bench.feed(.reload)
        bench.ready(3)
        bench.forget()
        bench.exit(4, code: 3)
        #expect(
            bench.take() == [
                .reloaded(succeeded: false), .adopt(slot: 3, by: 2), .drain(id: 3, isReloading: true),
            ]
        )
        bench.exit(3)
        #expect(bench.take() == [.adopt(slot: 2, by: 1)])
        #expect(bench.logged("reload failed: new worker 1 (slot 3) exited with code 3"))
        #expect(bench.supervision.newcomers == [0, 1])
        bench.feed(.reload)
        bench.ready(5, 6)
        #expect(bench.supervision.newcomers == [2, 3])
    }

    @Test func `a new worker whose start does not end holds up the reload for a time only`() {
        var bench = SupervisionBench.serving(workers: 2)
        bench.feed(.reload)
        bench.ready(3)
        bench.feed(.reload)
        bench.forget()
        bench.advance(seconds: 299.9)
        #expect(bench.take() == [])
        bench.advance(seconds: 0.2)
        #expect(bench.take() == [.kill(id: 4), .drain(id: 3, isReloading: true), .adopt(slot: 3, by: 2)])
        #expect(bench.logged("reload failed: new worker 1 (slot 3) is not ready after 300 s; the workers before go on"))
        // The other reload has its turn.
        bench.exit(3)
        #expect(bench.take { $0.isSpawn }.count == 2)
        bench.ready(5, 6)
        #expect(bench.take().contains(.reloaded(succeeded: true)))
        bench.advance(seconds: 1000)
        #expect(bench.state(5) == .active && bench.state(6) == .active)
    }

    @Test func `an old worker that dies during a reload has a successor, which goes with the others`() {
        var bench = SupervisionBench.serving(workers: 2)
        bench.feed(.reload)
        bench.forget()
        bench.crash(1)
        #expect(bench.take { $0.isSpawn } == [.spawn(id: 5, index: 0, slot: 0)])
        bench.ready(3, 4)
        #expect(bench.take().contains(.drain(id: 5, isReloading: true)))
        #expect(bench.supervision.newcomers == [2, 3])
    }

    @Test func `a slot that is kept for a new worker is nobody else's`() {
        var bench = SupervisionBench.serving(workers: 2)
        bench.crash(1)
        bench.acknowledges = false
        bench.feed(.reload)
        bench.feed(.workerLeaving(id: 3))
        bench.forget()
        // The successor of index 0 finds its own slot still read, and the other one promised.
        bench.feed(.released(slot: 2, by: 2))
        #expect(bench.take() == [.spawn(id: 4, index: 0, slot: 2)])
        #expect(bench.supervision.batch?.members.first?.worker == 4)
        bench.exit(3)
        #expect(bench.take() == [.spawn(id: 5, index: 0, slot: 0)])
    }

    @Test func `a reload before anybody was ready waits for the start`() {
        var bench = SupervisionBench(workers: 1)
        bench.feed(.start)
        bench.feed(.reload)
        #expect(bench.take { $0.isSpawn } == [.spawn(id: 1, index: 0, slot: 0)])
        bench.ready(1)
        #expect(bench.take { $0.isSpawn } == [.spawn(id: 2, index: 0, slot: 1)])
    }

    @Test func `a draining worker that dies has no successor, and one that takes too long is killed`() {
        var bench = SupervisionBench.serving(workers: 2)
        bench.feed(.reload)
        bench.ready(3, 4)
        bench.forget()
        bench.crash(1)
        #expect(bench.take { $0.isSpawn } == [])
        bench.advance(seconds: 39.9)
        #expect(bench.take { $0.isKill } == [])
        bench.advance(seconds: 0.2)
        #expect(bench.take() == [.kill(id: 2), .adopt(slot: 1, by: 4)])
        #expect(bench.supervision.newcomers == [2, 3])
    }

    // MARK: - Recycling

    @Test func `a worker is replaced at its number of requests, not one before`() {
        var bench = SupervisionBench.serving(workers: 2) { $0.maxRequests = 100 }
        bench.requests = [1: 99, 2: 50]
        bench.advance(seconds: 2)
        #expect(bench.take { $0.isSpawn } == [])
        bench.requests[1] = 100
        bench.advance(seconds: 2)
        #expect(bench.take { $0.isSpawn } == [.spawn(id: 3, index: 0, slot: 2)])
        bench.ready(3)
        #expect(bench.take().contains(.drain(id: 1, isReloading: true)))
        #expect(bench.supervision.newcomers == [2, 1])
    }

    @Test func `one worker is replaced at a time`() {
        var bench = SupervisionBench.serving(workers: 3) { $0.maxRequests = 100 }
        bench.requests = [1: 100, 2: 100, 3: 100]
        bench.advance(seconds: 2)
        #expect(bench.take { $0.isSpawn } == [.spawn(id: 4, index: 0, slot: 3)])
        bench.ready(4)
        #expect(bench.take { $0.isSpawn } == [.spawn(id: 5, index: 1, slot: 4)])
    }

    @Test func `limits of requests and of age are spread by chance, within their bounds`() {
        var settings = SupervisionSettings(SupervisorSettings(), leavingTime: .seconds(1))
        settings.maxRequests = 1000
        settings.maxRequestsJitter = 50
        settings.maxAge = .seconds(100)
        var supervision = Supervision(settings: settings, random: SeededGenerator(seed: 3))
        let limits = (0..<2000).compactMap { _ in supervision.drawRequestLimit() }
        #expect(limits.min() == 1000 && limits.max() == 1050)
        let ages = (0..<2000).compactMap { _ in supervision.drawAge()?.nanoseconds }.map { Double($0) / 1e9 }
        #expect(ages.allSatisfy { (100...110).contains($0) })
        #expect((ages.max() ?? 0) - (ages.min() ?? 0) > 9)
        settings.maxRequests = .max
        settings.maxAge = TimeSpan(nanoseconds: .max)
        supervision = Supervision(settings: settings, random: SeededGenerator(seed: 3))
        #expect(supervision.drawRequestLimit() == .max)
        #expect(supervision.drawAge() == TimeSpan(nanoseconds: .max))
    }

    @Test func `a worker is replaced for its age`() {
        var bench = SupervisionBench.serving(workers: 1) { $0.maxAge = .seconds(100) }
        bench.advance(seconds: 94.9)
        #expect(bench.take { $0.isSpawn } == [])
        bench.advance(seconds: 10.2)
        #expect(bench.take { $0.isSpawn } == [.spawn(id: 2, index: 0, slot: 1)])
    }

    @Test func `a worker is replaced for its memory, above the limit and not at it`() {
        var bench = SupervisionBench.serving(workers: 1) { $0.maxMemory = 100 << 20 }
        bench.residentBytes = [1: 100 << 20]
        bench.advance(seconds: 2)
        #expect(bench.take { $0.isSpawn } == [])
        bench.residentBytes = [1: 100 << 20 | 1]
        bench.advance(seconds: 2)
        #expect(bench.take { $0.isSpawn } == [.spawn(id: 2, index: 0, slot: 1)])
        #expect(bench.logged("its memory has grown to 100 MiB"))
    }

    @Test func `nobody is recycled during a reload, and a reload goes first`() {
        var bench = SupervisionBench.serving(workers: 2) { $0.maxRequests = 100 }
        bench.feed(.reload)
        bench.forget()
        bench.requests = [1: 100, 2: 100]
        bench.advance(seconds: 100)
        #expect(bench.take { $0.isSpawn } == [])
        bench.ready(3, 4)
        bench.exit(1)
        bench.exit(2)
        bench.advance(seconds: 100)
        #expect(bench.take { $0.isSpawn } == [])
    }

    @Test func `recycling waits longer each time that the new worker does not start`() {
        var bench = SupervisionBench.serving(workers: 1) { $0.maxRequests = 100 }
        bench.requests = [1: 100]
        bench.advance(seconds: 2)
        bench.forget()
        bench.exit(2, code: 3)
        #expect(bench.take { $0.isSpawn } == [])
        bench.advance(seconds: 0.1)
        #expect(bench.take { $0.isSpawn } == [.spawn(id: 3, index: 0, slot: 1)])
        bench.exit(3, code: 3)
        bench.advance(seconds: 0.19)
        #expect(bench.take { $0.isSpawn } == [])
        bench.advance(seconds: 0.02)
        #expect(bench.take { $0.isSpawn } == [.spawn(id: 4, index: 0, slot: 1)])
        #expect(bench.state(1) == .active)
    }

    // MARK: - Leaving

    @Test func `a worker that somebody else stops serves until its successor is ready`() {
        var bench = SupervisionBench.serving(workers: 1)
        bench.feed(.workerLeaving(id: 1))
        #expect(bench.take() == [.release(slot: 1, by: 1), .spawn(id: 2, index: 0, slot: 1)])
        bench.ready(2)
        let actions = bench.take()
        #expect(actions.contains(.steer(newcomers: [1])) && actions.last == .drain(id: 1, isReloading: true))
    }

    @Test func `one that does not wait for its successor is replaced all the same`() {
        var bench = SupervisionBench.serving(workers: 2)
        bench.feed(.reload)
        bench.feed(.workerLeaving(id: 1))
        bench.forget()
        bench.exit(1)
        #expect(bench.take { $0.isSpawn } == [.spawn(id: 5, index: 0, slot: 0)])
    }

    @Test func `one that is stopped while it starts goes at once, and another starts beside it`() {
        var bench = SupervisionBench(workers: 1)
        bench.feed(.start)
        bench.forget()
        bench.feed(.workerLeaving(id: 1))
        #expect(bench.take() == [.spawn(id: 2, index: 0, slot: 1), .drain(id: 1, isReloading: true)])
        bench.feed(.workerLeaving(id: 1))
        #expect(bench.take() == [])
    }

    @Test func `whoever leaves is replaced before whoever is due`() {
        var bench = SupervisionBench.serving(workers: 3) { $0.maxRequests = 100 }
        bench.requests = [1: 100, 2: 100]
        bench.advance(seconds: 2)
        bench.feed(.workerLeaving(id: 3))
        bench.forget()
        bench.ready(4)
        #expect(bench.take { $0.isSpawn } == [.spawn(id: 5, index: 2, slot: 5)])
    }

    // MARK: - More and fewer

    @Test func `one more takes the next index, up to the limit`() {
        var bench = SupervisionBench.serving(workers: 1, most: 2)
        bench.feed(.more)
        #expect(bench.take { $0.isSpawn } == [.spawn(id: 2, index: 1, slot: 1)])
        bench.feed(.more)
        #expect(bench.take() == [])
        #expect(bench.logged("2 workers already, and no room for more (--max-workers)"))
        bench.ready(2)
        #expect(bench.supervision.newcomers == [0, 1])
    }

    @Test func `one fewer lets the last index drain, down to one`() {
        var bench = SupervisionBench.serving(workers: 2)
        bench.feed(.fewer)
        #expect(bench.take().contains(.drain(id: 2, isReloading: true)))
        bench.feed(.fewer)
        #expect(bench.take() == [])
        #expect(bench.logged("the last worker stays"))
        bench.crash(2)
        #expect(bench.take { $0.isSpawn } == [])
    }

    @Test func `one more where the last one still drains starts beside it`() {
        var bench = SupervisionBench.serving(workers: 2)
        bench.feed(.fewer)
        bench.feed(.more)
        #expect(bench.take { $0.isSpawn } == [.spawn(id: 3, index: 1, slot: 3)])
    }

    @Test func `more and fewer wait for new workers that are about to take over`() {
        var bench = SupervisionBench.serving(workers: 1, most: 4)
        bench.feed(.reload)
        bench.forget()
        bench.feed(.more)
        bench.feed(.more)
        bench.feed(.fewer)
        #expect(bench.take() == [])
        bench.ready(2)
        #expect(bench.take { $0.isSpawn } == [.spawn(id: 3, index: 1, slot: 1)])
        bench.feed(.reload)
        bench.feed(.fewer)
        bench.exit(1)
        #expect(bench.supervision.indices.count == 1)
    }
}
