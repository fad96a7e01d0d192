import ApusHTTP
import CApusShims
import Glibc
import Testing

@testable import ApusTransport

extension ControlSocket.Received {
    /// The message's bytes and descriptors, which the caller closes.
    fileprivate var message: (bytes: [UInt8], descriptors: [Int32])? {
        if case .message(let bytes, let descriptors) = self { (bytes, descriptors) } else { nil }
    }
}

/// A pipe whose reading end tells when the last copy of its writing end is gone.
private struct LeakProbe {
    let reading: Int32
    let writing: Int32

    init() throws {
        var ends: [Int32] = [-1, -1]
        try #require(pipe(&ends) == 0)
        (reading, writing) = (ends[0], ends[1])
        try setNonBlockingAndCloseOnExec(reading)
        try setNonBlockingAndCloseOnExec(writing)
    }

    /// Closes our own writing end; whether that was the last one. To be asked once.
    func closesWithOurs() -> Bool {
        close(writing)
        defer { close(reading) }
        var byte: UInt8 = 0
        return isClosedSoon { read(reading, &byte, 1) == 0 }
    }
}

/// Sends a message with as many copies of a descriptor as are asked for: more than `ControlSocket` would.
private func sendRaw(_ bytes: [UInt8], _ descriptor: Int32, copies: Int, through socket: ControlSocket) -> Int {
    // Longs, for the alignment that a cmsghdr wants: its length, then level and type, then the descriptors.
    let length = MemoryLayout<cmsghdr>.size + 4 * copies
    var control = [Int](repeating: 0, count: (length + 7) / 8)
    control.withUnsafeMutableBytes { raw in
        var head = cmsghdr()
        (head.cmsg_len, head.cmsg_level, head.cmsg_type) = (length, SOL_SOCKET, Int32(SCM_RIGHTS))
        raw.storeBytes(of: head, as: cmsghdr.self)
        for index in 0..<copies {
            raw.storeBytes(of: descriptor, toByteOffset: MemoryLayout<cmsghdr>.size + 4 * index, as: Int32.self)
        }
    }
    var bytes = bytes
    return bytes.withUnsafeMutableBytes { payload in
        control.withUnsafeMutableBytes { raw in
            var vector = iovec(iov_base: payload.baseAddress, iov_len: payload.count)
            return withUnsafeMutablePointer(to: &vector) { vector in
                var message = msghdr()
                (message.msg_iov, message.msg_iovlen) = (vector, 1)
                (message.msg_control, message.msg_controllen) = (raw.baseAddress, raw.count)
                return sendmsg(socket.descriptor, &message, Int32(MSG_NOSIGNAL))
            }
        }
    }
}

extension SocketTests {
    @Suite struct ControlSocketTests {
        @Test func `messages arrive whole and in order, in both directions`() throws {
            let (supervisor, worker) = try ControlSocket.pair()
            #expect(worker.receive() == .nothing)
            for length in [1, 2, 1000, ControlSocket.maxMessageBytes] {
                #expect(supervisor.send(pattern(length)) == .sent)
                #expect(worker.receive() == .message(pattern(length), []))
            }
            #expect(worker.send([1]) == .sent)
            #expect(worker.send([2, 3]) == .sent)
            #expect(supervisor.receive() == .message([1], []))
            #expect(supervisor.receive() == .message([2, 3], []))
            #expect(supervisor.receive() == .nothing)
        }

        @Test func `both ends are non-blocking and close on exec`() throws {
            let (supervisor, worker) = try ControlSocket.pair()
            for end in [supervisor, worker] {
                #expect(fcntl(end.descriptor, F_GETFD) & FD_CLOEXEC != 0)
                #expect(fcntl(end.descriptor, F_GETFL) & O_NONBLOCK != 0)
            }
        }

        @Test(arguments: [1, 2, 3, ControlSocket.maxDescriptors - 1, ControlSocket.maxDescriptors])
        func `descriptors arrive with their message and close on exec`(count: Int) throws {
            let (supervisor, worker) = try ControlSocket.pair()
            let probe = try LeakProbe()
            let copies = [Int32](repeating: probe.writing, count: count)
            #expect(supervisor.send(pattern(ControlSocket.maxMessageBytes), descriptors: copies) == .sent)
            let (bytes, descriptors) = try #require(worker.receive().message)
            #expect(bytes == pattern(ControlSocket.maxMessageBytes))
            #expect(descriptors.count == count)
            for (index, descriptor) in descriptors.enumerated() {
                #expect(fcntl(descriptor, F_GETFD) & FD_CLOEXEC != 0)
                #expect(write(descriptor, [UInt8(index)], 1) == 1)
                close(descriptor)
            }
            var read = [UInt8](repeating: 0, count: count + 1)
            #expect(Glibc.read(probe.reading, &read, read.count) == count)
            #expect(read[..<count].elementsEqual((0..<count).map { UInt8($0) }))
            #expect(probe.closesWithOurs())
        }

        @Test func `a message with a descriptor too many is the end, and leaks none`() throws {
            let (supervisor, worker) = try ControlSocket.pair()
            let probe = try LeakProbe()
            #expect(sendRaw([1], probe.writing, copies: ControlSocket.maxDescriptors, through: supervisor) == 1)
            for descriptor in try #require(worker.receive().message).descriptors { close(descriptor) }
            #expect(sendRaw([1], probe.writing, copies: ControlSocket.maxDescriptors + 1, through: supervisor) == 1)
            #expect(worker.receive() == .closed)
            #expect(probe.closesWithOurs())
        }

        @Test func `a message for whose descriptors the process has no room arrives without them`() async {
            await #expect(processExitsWith: .success) {
                let (supervisor, worker) = try ControlSocket.pair()
                let probe = try LeakProbe()
                #expect(supervisor.send([7], descriptors: [probe.writing, probe.writing]) == .sent)
                var limit = rlimit()
                getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
                let before = limit.rlim_cur
                // The lowest number that is free is the last one that is left.
                let free = dup(probe.reading)
                close(free)
                limit.rlim_cur = rlim_t(free) + 1
                setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
                #expect(worker.receive() == .message([7], []))
                limit.rlim_cur = before
                setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
                #expect(probe.closesWithOurs())
                #expect(supervisor.send([8]) == .sent)
                #expect(worker.receive() == .message([8], []))
            }
        }

        @Test func `a message that is too long is the end, and leaks no descriptor`() throws {
            let (supervisor, worker) = try ControlSocket.pair()
            let probe = try LeakProbe()
            let tooLong = pattern(ControlSocket.maxMessageBytes + 1)
            #expect(sendRaw(tooLong, probe.writing, copies: 2, through: supervisor) == tooLong.count)
            #expect(worker.receive() == .closed)
            #expect(probe.closesWithOurs())
        }

        @Test func `descriptors that nobody has taken go with the socket`() throws {
            let (supervisor, worker) = try ControlSocket.pair()
            let probe = try LeakProbe()
            #expect(supervisor.send([1], descriptors: [probe.writing]) == .sent)
            worker.close()
            supervisor.close()
            #expect(probe.closesWithOurs())
        }

        @Test func `a peer that does not read makes the sender wait`() async throws {
            let (supervisor, worker) = try ControlSocket.pair()
            var sent = 0
            while case let result = supervisor.send(pattern(50_000)), result != .wouldBlock {
                try #require(result == .sent)
                sent += 1
            }
            #expect(sent > 0)
            try await withLoop { loop in
                let events = Promise<IOEvents>()
                try await loop.run {
                    let handler = ClosureHandler { seen in
                        try? supervisor.setWantsWritable(false)
                        events.fulfil(seen)
                    }
                    try supervisor.register(on: loop, handler: handler)
                    try supervisor.setWantsWritable(true)
                }
                for _ in 0..<sent { #expect(worker.receive() == .message(pattern(50_000), [])) }
                #expect(worker.receive() == .nothing)
                #expect(try await events.next().contains(.writable))
                #expect(supervisor.send([1]) == .sent)
                #expect(worker.receive() == .message([1], []))
                try await loop.run { supervisor.close() }
            }
        }

        @Test func `a registered socket reports messages and the other's end`() async throws {
            try await withLoop { loop in
                let (supervisor, worker) = try ControlSocket.pair()
                let received = Promise<ControlSocket.Received>()
                try await loop.run {
                    let handler = ClosureHandler { _ in
                        let next = supervisor.receive()
                        if next == .closed { supervisor.close() }
                        received.fulfil(next)
                    }
                    try supervisor.register(on: loop, handler: handler)
                }
                #expect(worker.send([7]) == .sent)
                #expect(try await received.next() == .message([7], []))
                #expect(worker.send([8]) == .sent)
                worker.close()
                #expect(try await received.next() == .message([8], []))
                #expect(try await received.next() == .closed)
                #expect(try await loop.run { supervisor.receive() } == .closed)
            }
        }

        @Test func `sending to nobody says so, without a signal`() throws {
            let (supervisor, worker) = try ControlSocket.pair()
            worker.close()
            worker.close()
            #expect(supervisor.waitForMessage(timeout: .seconds(60)) == .closed)
            #expect(supervisor.send([1]) == .closed)
            #expect(worker.send([1]) == .closed)
            #expect(worker.receive() == .closed)
        }

        @Test func `waiting ends with the message, or with the time`() async throws {
            let (supervisor, worker) = try ControlSocket.pair()
            let start = EventLoop.readClock()
            #expect(worker.waitForMessage(timeout: .milliseconds(30)) == .nothing)
            #expect(EventLoop.readClock().since(start) >= .milliseconds(30))
            #expect(worker.waitForMessage(timeout: .milliseconds(0)) == .nothing)
            let late = Task.detached {
                while EventLoop.readClock().since(start) < .milliseconds(60) { await Task.yield() }
                return supervisor.send([5])
            }
            #expect(worker.waitForMessage(timeout: TimeSpan(nanoseconds: .max)) == .message([5], []))
            #expect(await late.value == .sent)
        }

        @Test func `only what the parent process has made is taken for its control socket`() throws {
            let (mine, other) = try ControlSocket.pair()
            // Made by this very process, not by its parent.
            #expect(ControlSocket.inherited(mine.descriptor) == nil)
            let probe = try LeakProbe()
            let (sender, receiver) = try ForwardingPair.make()
            let listener = try BoundSocket.tcp(loopback(.ipv4))
            for descriptor in [probe.reading, sender, listener.descriptor, -1] {
                #expect(ControlSocket.inherited(descriptor) == nil)
            }
            for descriptor in [sender, receiver] { close(descriptor) }
            #expect(probe.closesWithOurs())
            // Asking has changed nothing.
            #expect(other.send([1]) == .sent)
            #expect(mine.receive() == .message([1], []))
        }

        @Test func `a child takes what its parent has made`() throws {
            let (supervisor, worker) = try ControlSocket.pair()
            #expect(ControlSocket.inherited(-1) == nil)
            // Not in the module that Swift sees of the C library. The child does no more than a few calls.
            let symbol = try #require(dlsym(nil, "fork"))
            let child = unsafeBitCast(symbol, to: (@convention(c) () -> pid_t).self)()
            if child == 0 {
                let control = ControlSocket.inherited(worker.descriptor)
                _exit(control?.send([42]) == .sent ? 0 : 1)
            }
            try #require(child > 0)
            let message = supervisor.waitForMessage(timeout: .seconds(10))
            if message == .nothing { kill(child, SIGKILL) }
            var status: Int32 = 0
            #expect(waitpid(child, &status, 0) == child)
            #expect(status == 0)
            #expect(message == .message([42], []))
        }
    }
}
