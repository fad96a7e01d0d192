import ApusHTTP
import CApusShims
import Glibc
import Synchronization
import Testing

@testable import ApusTransport

@Suite(.timeLimit(.minutes(5)))
struct EventLoopTests {
    // MARK: Tasks

    @Test func aTaskThatPrefersTheLoopRunsOnItAndComesBackToIt() async throws {
        try await withLoop { loop in
            let seen = await Task(executorPreference: loop) {
                var seen = [loop.isOnLoop]
                await Task.yield()
                seen.append(loop.isOnLoop)
                let elsewhere = await Task.detached { loop.isOnLoop }.value
                seen += [elsewhere, loop.isOnLoop]
                let main = await MainActor.run { loop.isOnLoop }
                return seen + [main, loop.isOnLoop]
            }
            .value
            #expect(seen == [true, true, false, true, false, true])
        }
    }

    @Test func anImmediateTaskStartsWithinTheCall() async throws {
        try await withLoop { loop in
            let done = Promise<[String]>()
            try await loop.run {
                let order = Confined<[String]>([])
                Task.immediate(executorPreference: loop) {
                    order.value.append("started")
                    await Task.yield()
                    order.value.append(loop.isOnLoop ? "back on the loop" : "elsewhere")
                    done.fulfil(order.value)
                }
                order.value.append("returned")
            }
            #expect(try await done.next() == ["started", "returned", "back on the loop"])
        }
    }

    @Test func aTaskOutlivesItsLoop() async throws {
        let loop = try EventLoop(name: "short-lived")
        try loop.start()
        let gate = Promise<Bool>()
        let started = Promise<Bool>()
        let task = Task(executorPreference: loop) {
            started.fulfil(true)
            let answer = try await gate.next()
            await Task.yield()
            return answer
        }
        _ = try await started.next()
        loop.stop()
        loop.join()
        gate.fulfil(true)
        #expect(try await task.value)
        #expect(!loop.submit {})
    }

    // MARK: Jobs

    @Test func aPhaseRunsOnlyTheJobsQueuedBeforeItAndTurnEndFollows() async throws {
        try await withLoop { loop in
            let order = Confined<[String]>([])
            let handler = Confined(ClosureHandler())
            handler.value.onTurnEnd = { order.value.append("turn end") }
            let done = Promise<Bool>()
            loop.submit {
                order.value.append("first")
                loop.atEndOfTurn(handler.value)
                loop.submit {
                    order.value.append("added")
                    done.fulfil(true)
                }
            }
            _ = try await done.next()
            #expect(order.value == ["first", "turn end", "added"])
        }
    }

    @Test func aTurnEndHandlerThatAsksAgainIsCalledInTheNextTurn() async throws {
        try await withLoop { loop in
            let turns = Confined(0)
            let done = Promise<Int>()
            let handler = Confined(ClosureHandler())
            handler.value.onTurnEnd = {
                turns.value += 1
                if turns.value < 3 { loop.atEndOfTurn(handler.value) } else { done.fulfil(turns.value) }
            }
            try await loop.run { loop.atEndOfTurn(handler.value) }
            #expect(try await done.next() == 3)
            handler.value.onTurnEnd = {}
        }
    }

    @Test func aJobThatQueuesItselfDoesNotStarveIOOrTimers() async throws {
        try await withLoop { loop in
            let seen = Promise<String>()
            let isDone = Atomic<Int>(0)
            let kept = try await loop.run {
                let descriptor = eventfd(1, Int32(EFD_NONBLOCK))
                let handler = ClosureHandler()
                let timer = LoopTimer(loop: loop, handler: handler)
                handler.onTimer = { _ in
                    isDone.add(1, ordering: .relaxed)
                    seen.fulfil("timer")
                }
                let registration = Confined<Registration?>(nil)
                handler.onEvents = { _ in
                    if let registration = registration.value { loop.deregister(registration, descriptor: descriptor) }
                    close(descriptor)
                    timer.set(loop.now + .milliseconds(2))
                    seen.fulfil("event")
                }
                registration.value = try loop.register(descriptor, handler: handler, mode: .level)
                @Sendable func again() {
                    if isDone.load(ordering: .relaxed) == 0 { loop.submit(again) }
                }
                again()
                return Confined((timer, handler) as (LoopTimer, ClosureHandler)?)
            }
            #expect(try await seen.next() == "event")
            #expect(try await seen.next() == "timer")
            try await loop.run { kept.value = nil }
        }
    }

    @Test func workFromManyThreadsRunsOnceAndInOrder() async throws {
        try await withLoop { loop in
            let (threads, perThread) = (4, 5000)
            let received = Confined([[Int]](repeating: [], count: threads))
            await withTaskGroup(of: Void.self) { group in
                for thread in 0..<threads {
                    group.addTask {
                        for number in 0..<perThread {
                            loop.submit { received.value[thread].append(number) }
                        }
                    }
                }
            }
            let result = try await loop.run { received.value }
            #expect(result == [[Int]](repeating: Array(0..<perThread), count: threads))
        }
    }

    @Test func noWakeUpIsLostBetweenSleeps() async throws {
        try await withLoop { loop in
            for number in 0..<5000 {
                let answer = try await loop.run { number }
                #expect(answer == number)
            }
        }
    }

    @Test func noWakeUpIsLostBetweenThreadsThatRace() async throws {
        try await withLoop { loop in
            let rounds = 2000
            let total = Confined(0)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<4 {
                    group.addTask {
                        for _ in 0..<rounds {
                            try await loop.run { total.value += 1 }
                        }
                    }
                }
                try await group.waitForAll()
            }
            #expect(total.value == 4 * rounds)
        }
    }

    @Test func workSubmittedBeforeStopRuns() async throws {
        let loop = try EventLoop(name: "stopping")
        let ran = Atomic<Int>(0)
        for _ in 0..<10 {
            loop.submit { ran.add(1, ordering: .relaxed) }
        }
        loop.submit { loop.stop() }
        loop.submit { ran.add(1, ordering: .relaxed) }
        try loop.start()
        loop.join()
        #expect(ran.load(ordering: .relaxed) == 11)
        #expect(!loop.isOnLoop)
    }

    // MARK: Thread

    @Test func theLoopsThreadAloneBlocksSignalsButNotFaults() async throws {
        @Sendable func blocked() -> [Bool] {
            var mask = sigset_t()
            pthread_sigmask(SIG_BLOCK, nil, &mask)
            return [SIGPIPE, SIGTERM, SIGINT, SIGSEGV].map { sigismember(&mask, $0) == 1 }
        }
        let loop = try EventLoop(name: "signals")
        let before = blocked()
        try loop.start()
        #expect(blocked() == before)
        #expect(!before[0])
        let onLoop = try await loop.run { blocked() }
        #expect(onLoop == [true, true, true, false])
        loop.stop()
        loop.join()
    }

    // MARK: Descriptors

    @Test func anEventReportedForAFormerOwnerReachesNobody() async throws {
        try await withLoop { loop in
            let strangerEvents = Confined(0)
            let calls = Confined(0)
            let stranger = Confined(ClosureHandler { _ in strangerEvents.value += 1 })
            // Two descriptors become readable in one batch; whoever is called first puts a third one, which
            // has nothing to say, into the place of the other.
            try await loop.run {
                let descriptors = [eventfd(1, Int32(EFD_NONBLOCK)), eventfd(1, Int32(EFD_NONBLOCK))]
                var registrations: [Registration] = []
                for (own, other) in [(0, 1), (1, 0)] {
                    let handler = ClosureHandler { _ in
                        calls.value += 1
                        for index in [other, own] {
                            loop.deregister(registrations[index], descriptor: descriptors[index])
                            close(descriptors[index])
                        }
                        let reused = [eventfd(0, Int32(EFD_NONBLOCK)), eventfd(0, Int32(EFD_NONBLOCK))]
                        for descriptor in reused {
                            registrations +=
                                (try? loop.register(descriptor, handler: stranger.value, mode: .level))
                                .map { [$0] } ?? []
                        }
                    }
                    registrations.append(try loop.register(descriptors[own], handler: handler, mode: .level))
                }
            }
            // Two more turns: the batch above, and one in which nothing may come.
            try await loop.run {}
            try await loop.run {}
            #expect(try await loop.run { calls.value } == 1)
            #expect(try await loop.run { strangerEvents.value } == 0)
        }
    }

    @Test func deregisteringLetsGoOfTheHandlerAndMayBeRepeated() async throws {
        try await withLoop { loop in
            let isGone = try await loop.run {
                let descriptor = eventfd(0, Int32(EFD_NONBLOCK))
                defer { close(descriptor) }
                var handler: ClosureHandler? = ClosureHandler()
                weak let reference = handler
                let registration = try loop.register(descriptor, handler: ClosureHandler(), mode: .level)
                loop.deregister(registration, descriptor: descriptor)
                let second = try handler.map { try loop.register(descriptor, handler: $0, mode: .level) }
                // The first registration is void, although its slot has a new owner.
                loop.deregister(registration, descriptor: descriptor)
                handler = nil
                #expect(reference != nil)
                if let second { loop.deregister(second, descriptor: descriptor) }
                return reference == nil
            }
            #expect(isGone)
        }
    }

    @Test func registeringABadDescriptorFailsAndKeepsNothing() async throws {
        try await withLoop { loop in
            try await loop.run {
                weak var reference: ClosureHandler?
                do {
                    let handler = ClosureHandler()
                    reference = handler
                    #expect(throws: SystemError("epoll_ctl", code: EBADF)) {
                        _ = try loop.register(-1, handler: handler, mode: .stream)
                    }
                }
                #expect(reference == nil)
            }
        }
    }
}
