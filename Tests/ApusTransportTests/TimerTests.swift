import ApusHTTP
import Synchronization
import Testing

@testable import ApusTransport

@Suite(.timeLimit(.minutes(5)))
struct TimerQueueTests {
    private func at(_ nanoseconds: UInt64) -> Instant {
        Instant(nanoseconds: nanoseconds)
    }

    private func set(_ node: TimerNode, _ deadline: Instant?, in queue: inout TimerQueue) {
        node.deadline = deadline ?? .distantFuture
        if node.deadline < node.queuedAt { queue.schedule(node) }
    }

    @Test func timersComeOutInTheOrderOfTheirDeadlines() {
        var queue = TimerQueue()
        var generator = SeededGenerator(seed: 1)
        let nodes = (0..<500).map { _ in TimerNode() }
        for node in nodes {
            set(node, at(UInt64.random(in: 1...1000, using: &generator)), in: &queue)
        }
        var fired = 0
        for time in 0...1000 {
            let due = queue.takeDue(now: at(UInt64(time)))
            #expect(due.allSatisfy { $0.deadline == at(UInt64(time)) })
            fired += due.count
            queue.giveBack(due)
        }
        #expect(fired == 500)
        #expect(queue.count == 0)
    }

    @Test func movingADeadlineLaterDoesNotTouchTheQueue() {
        var queue = TimerQueue()
        let node = TimerNode()
        set(node, at(10), in: &queue)
        for time in 11...100 {
            set(node, at(UInt64(time)), in: &queue)
        }
        #expect(queue.count == 1)
        #expect(queue.nextLook == at(10))
        #expect(queue.takeDue(now: at(99)).isEmpty)
        #expect(queue.nextLook == at(100))
        #expect(queue.takeDue(now: at(100)).count == 1)
    }

    @Test func movingADeadlineEarlierMovesItsOnlyEntry() {
        var queue = TimerQueue()
        let nodes = (0..<10).map { _ in TimerNode() }
        for (index, node) in nodes.enumerated() {
            set(node, at(UInt64(100 + index)), in: &queue)
        }
        set(nodes[9], at(5), in: &queue)
        #expect(queue.count == 10)
        #expect(queue.takeDue(now: at(5)).map { $0 === nodes[9] } == [true])
    }

    @Test func aDisarmedEntryIsReusedOrDroppedWhenItComesUp() {
        var queue = TimerQueue()
        let node = TimerNode()
        set(node, at(10), in: &queue)
        set(node, nil, in: &queue)
        set(node, at(20), in: &queue)
        #expect(queue.count == 1)
        set(node, nil, in: &queue)
        #expect(queue.takeDue(now: at(10)).isEmpty)
        #expect(queue.count == 0)
        set(node, at(30), in: &queue)
        #expect(queue.nextLook == at(30))
    }

    /// Whatever is done to the timers, those and only those fire that a plain list says are due.
    @Test(arguments: 0..<20) func anySequenceOfChangesAgreesWithAPlainList(seed: UInt64) {
        var queue = TimerQueue()
        var generator = SeededGenerator(seed: seed)
        let nodes = (0..<40).map { _ in TimerNode() }
        var model = [UInt64?](repeating: nil, count: nodes.count)
        var time: UInt64 = 0
        for _ in 0..<2000 {
            let index = Int.random(in: 0..<nodes.count, using: &generator)
            switch Int.random(in: 0..<10, using: &generator) {
            case 0..<5:
                model[index] = time + UInt64.random(in: 0...50, using: &generator)
                set(nodes[index], model[index].map(at), in: &queue)
            case 5..<7:
                model[index] = nil
                set(nodes[index], nil, in: &queue)
            case 7:
                model[index] = nil
                nodes[index].deadline = .distantFuture
                queue.remove(nodes[index])
            default:
                time += UInt64.random(in: 0...20, using: &generator)
                let due = queue.takeDue(now: at(time))
                let fired = Set(due.map(ObjectIdentifier.init))
                let expected = nodes.indices.filter { model[$0].map { $0 <= time } ?? false }
                #expect(fired == Set(expected.map { ObjectIdentifier(nodes[$0]) }))
                due.forEach { $0.deadline = .distantFuture }
                expected.forEach { model[$0] = nil }
                queue.giveBack(due)
            }
            #expect(queue.count <= nodes.count)
        }
    }
}

@Suite(.timeLimit(.minutes(5)))
struct LoopTimerTests {
    @Test func timersFireInOrderAndNotBeforeTheirTime() async throws {
        try await withLoop { loop in
            let fired = Promise<Int>()
            let early = Confined(false)
            let kept = try await loop.run {
                let start = loop.refreshNow()
                return Confined(
                    [3, 1, 2]
                        .map { number in
                            let handler = ClosureHandler()
                            let timer = LoopTimer(loop: loop, handler: handler)
                            let deadline = start + .milliseconds(UInt64(number) * 3)
                            handler.onTimer = { now in
                                if now < deadline { early.value = true }
                                fired.fulfil(number)
                            }
                            timer.set(deadline)
                            return (timer, handler)
                        }
                )
            }
            for number in 1...3 {
                #expect(try await fired.next() == number)
            }
            try await loop.run {
                #expect(!early.value)
                #expect(kept.value.allSatisfy { $0.0.deadline == nil })
                kept.value = []
            }
        }
    }

    @Test func aPostponedTimerFiresOnceAtItsLastDeadline() async throws {
        try await withLoop { loop in
            let fired = Promise<Bool>()
            let kept = try await loop.run {
                let handler = ClosureHandler()
                let timer = LoopTimer(loop: loop, handler: handler)
                let last = loop.now + .milliseconds(20)
                handler.onTimer = { now in fired.fulfil(now >= last) }
                for step in 1...10 {
                    timer.set(loop.now + .milliseconds(UInt64(2 * step)))
                }
                return Confined((timer, handler) as (LoopTimer, ClosureHandler)?)
            }
            #expect(try await fired.next())
            try await loop.run { kept.value = nil }
        }
    }

    @Test func oneTimerMayDisarmAnotherThatIsDueInTheSameTurn() async throws {
        try await withLoop { loop in
            let calls = Confined(0)
            let kept = try await loop.run {
                let handlers = [ClosureHandler(), ClosureHandler()]
                let timers = handlers.map { LoopTimer(loop: loop, handler: $0) }
                for (own, other) in [(0, 1), (1, 0)] {
                    handlers[own].onTimer = { _ in
                        calls.value += 1
                        timers[other].set(nil)
                    }
                    timers[own].set(loop.now)
                }
                return Confined(handlers)
            }
            try await loop.run {}
            try await loop.run {}
            #expect(try await loop.run { calls.value } == 1)
            try await loop.run { kept.value.forEach { $0.onTimer = { _ in } } }
        }
    }

    @Test func aTimerSetToThePastByItselfLetsTheLoopGoOn() async throws {
        try await withLoop { loop in
            let calls = Confined(0)
            let kept = try await loop.run {
                let handler = ClosureHandler()
                let timer = LoopTimer(loop: loop, handler: handler)
                handler.onTimer = { _ in
                    calls.value += 1
                    timer.set(loop.now)
                }
                timer.set(loop.now)
                return Confined(handler)
            }
            while try await loop.run({ calls.value }) < 10 {}
            try await loop.run { kept.value.onTimer = { _ in } }
        }
    }

    @Test func aTimerNeitherKeepsItsHandlerNorStaysInTheQueueWithoutIt() async throws {
        try await withLoop { loop in
            try await loop.run {
                final class Owner: TimerHandler {
                    private(set) var timer: LoopTimer?
                    func start(on loop: EventLoop) {
                        let timer = LoopTimer(loop: loop, handler: self)
                        timer.set(loop.now + .seconds(3600))
                        self.timer = timer
                    }
                    func timerFired(now: Instant) {}
                }
                for _ in 0..<1000 {
                    var owner: Owner? = Owner()
                    weak let reference = owner
                    owner?.start(on: loop)
                    #expect(loop.timers.count == 1)
                    owner = nil
                    #expect(reference == nil)
                }
                #expect(loop.timers.count == 0)
            }
        }
    }

    @Test func aDisarmedTimerMayBeReleasedOnAnotherThread() async throws {
        try await withLoop { loop in
            let kept = try await loop.run {
                let handler = ClosureHandler()
                let timer = LoopTimer(loop: loop, handler: handler)
                timer.set(loop.now + .seconds(3600))
                timer.set(nil)
                return Confined((timer, handler) as (LoopTimer, ClosureHandler)?)
            }
            kept.value = nil
            #expect(try await loop.run { loop.timers.count } == 0)
        }
    }
}

/// A small deterministic generator (SplitMix64), so that a failing sequence can be repeated.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) {
        state = seed
    }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}
