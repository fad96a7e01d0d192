import ApusHTTP
import Testing

@testable import ApusCommand

/// A new executable, and what it learns of the workers that there are.
struct SupervisionUpgradeTests {
    @Test func `a new executable is checked, takes over, and replaces every worker`() throws {
        var bench = SupervisionBench.serving(workers: 2, most: 3)
        bench.feed(.upgradeRequested)
        #expect(bench.take() == [.checkExecutable(bench.supervision.state)])
        bench.feed(.executableChecked(isUsable: true, text: ""))
        let actions = bench.take()
        guard case .replaceImage(let state) = actions.first, actions.count == 1 else {
            Issue.record("\(actions)")
            return
        }
        var next = try bench.successor(of: state)
        #expect(next.supervision.state == state)
        next.feed(.start)
        let first = next.take()
        #expect(first.first == .reloading)
        #expect(first.filter(\.isSpawn) == [.spawn(id: 3, index: 0, slot: 3), .spawn(id: 4, index: 1, slot: 4)])
        next.ready(3, 4)
        let second = next.take()
        #expect(second.contains(.drain(id: 1, isReloading: true)) && second.contains(.drain(id: 2, isReloading: true)))
        #expect(second.contains(.steer(newcomers: [3, 4])) && !second.contains(.ready))
    }

    @Test func `one that is not usable changes nothing`() {
        var bench = SupervisionBench.serving(workers: 1)
        bench.feed(.upgradeRequested)
        bench.forget()
        bench.feed(.executableChecked(isUsable: false, text: "it needs --bind"))
        #expect(bench.take() == [])
        #expect(bench.logged("it needs --bind"))
        bench.feed(.upgradeRequested)
        #expect(bench.take() == [.checkExecutable(bench.supervision.state)])
    }

    @Test func `one that cannot be started changes nothing`() {
        var bench = SupervisionBench.serving(workers: 1)
        bench.feed(.upgradeRequested)
        bench.feed(.executableChecked(isUsable: true, text: ""))
        bench.forget()
        bench.feed(.imageNotReplaced(reason: "no such file"))
        #expect(bench.take() == [])
        #expect(bench.logged("no such file"))
        bench.feed(.reload)
        #expect(bench.take { $0.isSpawn } == [.spawn(id: 2, index: 0, slot: 1)])
    }

    @Test func `it waits for new workers that are about to take over, before the check and after it`() {
        var bench = SupervisionBench.serving(workers: 1)
        bench.feed(.reload)
        bench.feed(.upgradeRequested)
        #expect(!bench.take().contains(.checkExecutable(bench.supervision.state)))
        bench.ready(2)
        #expect(bench.take().contains(.checkExecutable(bench.supervision.state)))
        bench.exit(1)
        bench.feed(.reload)
        bench.feed(.executableChecked(isUsable: true, text: ""))
        // It will do for this one as well.
        bench.feed(.reload)
        #expect(!bench.take().contains(.replaceImage(bench.supervision.state)))
        bench.ready(3)
        guard case .replaceImage(let state) = bench.take().last else {
            Issue.record("not replaced")
            return
        }
        #expect(state.workers.map(\.state) == [.draining, .active])
        #expect(state.homes == [0])
    }

    @Test func `it waits for the batch that runs, and not for those that would follow`() {
        var bench = SupervisionBench.serving(workers: 2) { $0.maxRequests = 100 }
        bench.requests = [1: 100, 2: 100]
        bench.advance(seconds: 2)
        bench.feed(.upgradeRequested)
        bench.forget()
        bench.ready(3)
        let actions = bench.take()
        #expect(actions.contains(.checkExecutable(bench.supervision.state)) && !actions.contains { $0.isSpawn })
        // The check may take its time.
        bench.advance(seconds: 2)
        #expect(bench.take { $0.isSpawn } == [.spawn(id: 4, index: 1, slot: 3)])
    }

    @Test func `a worker that cannot be spawned on the way is not handed over`() {
        var bench = SupervisionBench.serving(workers: 1, most: 2)
        bench.feed(.upgradeRequested)
        bench.forget()
        var supervision = bench.supervision
        supervision.handle(.more, now: bench.now)
        supervision.handle(.executableChecked(isUsable: true, text: ""), now: bench.now)
        while let action = supervision.nextAction() {
            switch action {
            case .spawn(let id, _, _): supervision.handle(.spawnFailed(id: id, reason: ""), now: bench.now)
            case .release(let slot, let id): supervision.handle(.released(slot: slot, by: id), now: bench.now)
            case .replaceImage(let state): #expect(state.workers.map(\.id) == [1])
            default: break
            }
        }
        #expect(supervision.upgrade == .replacing)
    }

    @Test func `there is one check at a time, and none before anybody was ready`() {
        var bench = SupervisionBench(workers: 1)
        bench.feed(.start)
        bench.forget()
        bench.feed(.upgradeRequested)
        #expect(bench.take() == [])
        bench.ready(1)
        bench.forget()
        bench.feed(.executableChecked(isUsable: true, text: ""))
        bench.feed(.upgradeRequested)
        bench.feed(.upgradeRequested)
        #expect(bench.take().count == 1)
    }

    @Test func `draining workers keep their deadlines, and hung ones are watched`() throws {
        var bench = SupervisionBench.serving(workers: 2)
        bench.feed(.reload)
        bench.ready(3, 4)
        bench.advance(seconds: 30)
        var next = try bench.successor(of: bench.supervision.state)
        next.feed(.start)
        next.hanging = [3]
        next.advance(seconds: 9.9)
        #expect(next.take { $0.isKill } == [])
        next.advance(seconds: 0.2)
        #expect(next.take { $0.isKill } == [.kill(id: 1), .kill(id: 2)])
        next.advance(seconds: 25)
        #expect(next.take { $0.isKill } == [.kill(id: 3)])
    }

    @Test func `a worker that is handed over while it starts has the rest of its time`() throws {
        var bench = SupervisionBench.serving(workers: 2)
        bench.crash(1)
        bench.advance(seconds: 100)
        var next = try bench.successor(of: bench.supervision.state)
        next.feed(.start)
        next.advance(seconds: 199.9)
        #expect(next.take { $0.isKill } == [])
        next.advance(seconds: 0.2)
        #expect(next.take { $0.isKill } == [.kill(id: 3)])
        #expect(next.logged("worker 0 (slot 0) is not ready after 300 s; it is killed"))
    }

    /// What goes on where the new workers of a new executable did not start.
    private func left(_ adjust: (inout SupervisionSettings) -> Void) throws -> SupervisionBench {
        let bench = SupervisionBench.serving(workers: 2, adjust)
        var next = try bench.successor(of: bench.supervision.state)
        next.feed(.start)
        next.exit(3, code: 3)
        next.exit(4, code: 3)
        #expect(next.take().contains(.reloaded(succeeded: false)))
        next.forget()
        return next
    }

    @Test func `workers that a new executable could not replace are replaced for their requests all the same`() throws {
        var bench = try left { $0.maxRequests = 100 }
        bench.requests = [1: 99, 2: 99]
        bench.advance(seconds: 2)
        #expect(bench.take { $0.isSpawn } == [])
        bench.requests[2] = 100
        bench.advance(seconds: 2)
        #expect(bench.take { $0.isSpawn } == [.spawn(id: 5, index: 1, slot: 3)])
    }

    @Test func `so they are for their age, which counts from their start`() throws {
        var bench = try left { $0.maxAge = .seconds(100) }
        // They had served for five seconds.
        bench.advance(seconds: 94.9)
        #expect(bench.take { $0.isSpawn } == [])
        bench.advance(seconds: 10.2)
        #expect(bench.take { $0.isSpawn }.count == 1)
    }

    @Test func `nothing is due in the past, where their time was over before`() {
        var bench = SupervisionBench.serving(workers: 1)
        bench.advance(seconds: 1000)
        var settings = bench.supervision.settings
        settings.maxAge = .seconds(100)
        var next = SupervisionBench(Supervision(restoring: bench.supervision.state, settings: settings))
        next.continueTime(of: bench)
        next.feed(.start)
        #expect((next.supervision.deadline ?? bench.now) > bench.now)
        next.exit(2, code: 3)
        #expect(next.take { $0.isSpawn } == [.spawn(id: 2, index: 0, slot: 1), .spawn(id: 3, index: 0, slot: 1)])
    }

    @Test func `so they are for their memory`() throws {
        var bench = try left { $0.maxMemory = 1000 }
        bench.residentBytes = [1: 1000, 2: 1001]
        bench.advance(seconds: 2)
        #expect(bench.take { $0.isSpawn } == [.spawn(id: 5, index: 1, slot: 3)])
    }

    // MARK: - Text

    private static let text = """
        apus-supervision 1
        places 2 9 1
        newcomers 0 3
        homes 0 3
        reader 4
        worker 4 0 0 active 1000
        worker 5 1 1 draining 2000 9000
        worker 6 1 3 starting 18446744073709551615
        adopted 2 4
        end
        """

    @Test func `the state is the same after it was written and read`() throws {
        let state = try #require(SupervisionState(encoded: Self.text))
        #expect(state.encoded == Self.text)
        #expect(state.maxWorkers == 2 && state.nextID == 9 && state.isAnnounced && state.reader == 4)
        #expect(state.workers.map(\.state) == [.active, .draining, .starting])
        #expect(state.workers[1].drainDeadline == Instant(nanoseconds: 9000))
        let settings = SupervisionSettings(SupervisorSettings(), leavingTime: .seconds(1))
        #expect(Supervision(restoring: state, settings: settings).state == state)
    }

    @Test func `a deadline that is never reached is written and read as well`() throws {
        let text = Self.text.replacing("9000", with: "\(UInt64.max)")
        #expect(try #require(SupervisionState(encoded: text)).workers[1].drainDeadline == .distantFuture)
    }

    @Test(
        arguments: [
            ("supervision 1", "supervision 2"), ("places 2 9 1", "places 0 9 1"), ("places 2 9 1", "places 65 9 1"),
            ("places 2 9 1", "places 2 9 2"), ("places 2 9 1", "places 2 6 1"), ("places 2 9 1", "places 2 9"),
            ("places 2 9 1", "places 2 9007199254740993 1"), ("places 2 9 1", "places 2 99999999999999999999 1"),
            ("places 2 9 1", "places +2 9 1"), ("places 2 9 1", "places 2  9 1"), ("places 2 9 1", ""),
            ("newcomers 0 3", "newcomers 0 4"), ("newcomers 0 3", "newcomers 0 0"), ("newcomers 0 3", "newcomers"),
            ("newcomers 0 3", "newcomers 0 1 2"), ("newcomers 0 3", "newcomers -1"), ("homes 0 3", "homes 0 2"),
            ("homes 0 3", "homes 0 3 1"), ("homes 0 3", "homes"), ("homes 0 3", "homes 0"), ("reader 4", "reader 3"),
            ("reader 4", "reader 4\nreader 4"), ("reader 4", "writer 4"), ("worker 4", "worker 0"),
            ("worker 4", "worker 5"), ("worker 4 0 0", "worker 4 0 1"), ("worker 4 0 0", "worker 4 1 1"),
            ("worker 4 0 0", "worker 4 7 7"), ("active 1000", "active 1000 5"), ("active", "standby"),
            ("active", "asleep"), ("draining 2000 9000", "draining 2000"), ("draining 2000", "active 2000"),
            ("starting 18446744073709551615", "starting 18446744073709551616"), ("adopted 2 4", "adopted 2 7"),
            ("adopted 2 4", "adopted 4 4"), ("adopted 2 4", "adopted 3 4"), ("4\nend", "4\nend\n"), ("\nend", ""),
            ("adopted 2 4", "adopted 2 4\nreleasing 2 5"), ("adopted 2 4", "adopted 2"),
            ("adopted 2 4", " adopted 2 4"),
        ]
    ) func `anything that no supervisor has written is refused`(part: String, other: String) {
        #expect(Self.text.contains(part))
        #expect(SupervisionState(encoded: Self.text.replacing(part, with: other)) == nil)
    }

    @Test func `no piece and no single changed byte of it does harm`() {
        let bytes = Array(Self.text.utf8)
        for cut in 0..<bytes.count {
            #expect(SupervisionState(encoded: String(decoding: bytes[..<cut], as: UTF8.self)) == nil)
        }
        for position in bytes.indices {
            for byte in [0, 0x0A, 0x20, 0x2D, 0x30, 0x39, 0xFF] as [UInt8] {
                var changed = bytes
                changed[position] = byte
                guard let state = SupervisionState(encoded: String(decoding: changed, as: UTF8.self)) else { continue }
                let settings = SupervisionSettings(SupervisorSettings(), leavingTime: .seconds(1))
                var supervision = Supervision(restoring: state, settings: settings)
                supervision.handle(.start, now: Instant(nanoseconds: 0))
                while let action = supervision.nextAction() {
                    if case .release(let slot, let id) = action {
                        supervision.handle(.released(slot: slot, by: id), now: Instant(nanoseconds: 0))
                    }
                }
            }
        }
    }
}

extension SupervisionBench {
    /// What another executable makes of the state that it is handed.
    fileprivate func successor(of state: SupervisionState) throws -> SupervisionBench {
        let read = try #require(SupervisionState(encoded: state.encoded))
        var next = SupervisionBench(Supervision(restoring: read, settings: supervision.settings))
        next.continueTime(of: self)
        return next
    }
}
