import ApusHTTP
import Testing

@testable import ApusCommand

/// Who reads what: every slot has one reader, and the shared sockets have one.
struct SupervisionSlotTests {
    @Test func `the first worker that is ready reads every slot without a worker, until the partners are`() {
        var bench = SupervisionBench(workers: 2, most: 2)
        bench.feed(.start)
        bench.forget()
        bench.ready(1)
        #expect(bench.take { $0.isAdoption } == [.adopt(slot: 2, by: 1), .adopt(slot: 3, by: 1)])
        bench.ready(2)
        bench.feed(.more)
        #expect(bench.take { $0.isAdoption } == [.release(slot: 3, by: 1), .adopt(slot: 3, by: 2)])
        #expect(bench.readers == [1, 2, 1, 2])
    }

    @Test func `slots of indices that nobody serves are spread over all workers`() {
        let bench = SupervisionBench.serving(workers: 2, most: 4)
        let counts = [1, 2].map { id in bench.readers.count { $0 == id } }
        #expect(bench.readers.count == 8)
        #expect(counts.reduce(0, +) == 8)
        #expect(bench.readers[0] == 1 && bench.readers[4] == 1 && bench.readers[1] == 2 && bench.readers[5] == 2)
    }

    @Test func `a slot is handed over only once the one before has let go of it`() {
        var bench = SupervisionBench(workers: 2, most: 2)
        bench.acknowledges = false
        bench.feed(.start)
        bench.ready(1)
        bench.forget()
        bench.ready(2)
        #expect(bench.take { $0.isAdoption } == [.release(slot: 3, by: 1)])
        bench.feed(.released(slot: 3, by: 2))
        #expect(bench.take() == [])
        bench.feed(.released(slot: 3, by: 1))
        #expect(bench.take() == [.adopt(slot: 3, by: 2)])
    }

    @Test func `an adopter that dies leaves its slots to another`() {
        var bench = SupervisionBench.serving(workers: 2, most: 2)
        bench.crash(2)
        #expect(bench.take { $0.isAdoption } == [.adopt(slot: 3, by: 1)])
    }

    @Test func `an adopter that dies while it was to let go has let go`() {
        var bench = SupervisionBench(workers: 2, most: 2)
        bench.acknowledges = false
        bench.feed(.start)
        bench.ready(1, 2)
        bench.forget()
        bench.crash(1)
        #expect(bench.take { $0.isAdoption } == [.adopt(slot: 2, by: 2), .adopt(slot: 3, by: 2)])
    }

    @Test func `an adopter that drains hands over before it is told to drain`() {
        var bench = SupervisionBench.serving(workers: 2, most: 2)
        bench.feed(.fewer)
        #expect(
            bench.take() == [
                .steer(newcomers: [0]), .release(slot: 3, by: 2), .drain(id: 2, isReloading: true),
                .adopt(slot: 3, by: 1),
            ]
        )
        bench.exit(2)
        #expect(bench.take() == [.adopt(slot: 1, by: 1)])
    }

    @Test func `a slot of a dead worker has no second reader while its successor starts`() {
        var bench = SupervisionBench.serving(workers: 2, most: 2)
        bench.crash(1)
        bench.advance(seconds: 100)
        #expect(!bench.take().contains(.adopt(slot: 0, by: 2)))
    }

    // MARK: - Shared sockets

    @Test func `the first worker that is ready reads the shared sockets, and goes on`() {
        var bench = SupervisionBench(workers: 3)
        bench.feed(.start)
        bench.ready(2, 1, 3)
        #expect(bench.take { $0.isReader } == [.reader(id: 2, isReader: true)])
    }

    @Test func `another reads the shared sockets when their reader dies`() {
        var bench = SupervisionBench.serving(workers: 2)
        bench.crash(1)
        #expect(bench.take { $0.isReader } == [.reader(id: 2, isReader: true)])
        bench.ready(3)
        #expect(bench.take { $0.isReader } == [])
    }

    @Test func `another reads the shared sockets before their reader drains`() {
        var bench = SupervisionBench.serving(workers: 1)
        bench.feed(.reload)
        bench.ready(2)
        let told = bench.take { $0.isReader || $0 == .drain(id: 1, isReloading: true) }
        #expect(
            told == [
                .reader(id: 1, isReader: false), .reader(id: 2, isReader: true), .drain(id: 1, isReloading: true),
            ]
        )
    }

    @Test func `at a stop their reader reads on as long as it drains`() {
        var bench = SupervisionBench.serving(workers: 2)
        bench.feed(.stop(signal: 15))
        bench.exit(2)
        #expect(bench.take { $0.isReader || $0.isSteer || $0.isAdoption } == [])
    }
}
