import ApusHTTP
import ApusTransport
import Glibc
import Testing

@testable import ApusCommand

/// Messages arrive whole and in order, however slow the other end is.
struct ControlChannelTests {
    private let ours: ControlChannel
    private let theirs: ControlChannel

    init() throws {
        let (first, second) = try ControlSocket.pair()
        ours = ControlChannel(first)
        theirs = ControlChannel(second)
    }

    private func next() throws -> (ControlMessage, [Int32]) {
        guard case .message(let message, let descriptors) = theirs.wait(.seconds(10)) else {
            throw Missing()
        }
        return (message, descriptors)
    }

    private struct Missing: Error {}

    private func isOpen(_ descriptor: Int32) -> Bool {
        fcntl(descriptor, F_GETFD) >= 0
    }

    @Test(arguments: [0, 1, 128, 129, 300])
    func `a message has as many descriptors as it needs`(count: Int) throws {
        ours.send(.sockets(slot: 1, encoded: [5]), Array(repeating: STDERR_FILENO, count: count))
        ours.send(.start)
        let (message, descriptors) = try next()
        defer { descriptors.forEach { close($0) } }
        #expect(message == .sockets(slot: 1, encoded: [5]))
        #expect(descriptors.count == count)
        #expect(descriptors.allSatisfy(isOpen))
        #expect(try next().0 == .start)
    }

    @Test func `descriptors that nobody asked for are closed`() throws {
        var ends: [Int32] = [-1, -1]
        #expect(pipe(&ends) == 0)
        let (reading, writing) = (ends[0], ends[1])
        for end in ends { #expect(fcntl(end, F_SETFD, FD_CLOEXEC) == 0) }
        #expect(fcntl(reading, F_SETFL, O_NONBLOCK) == 0)
        defer { close(reading) }
        ours.send(.ping(1), [writing])
        let (message, descriptors) = try next()
        #expect(message == .ping(1) && descriptors.isEmpty)
        close(writing)
        #expect(isAtEnd(reading), "a copy of the other end is still open")
    }

    /// Whether nobody can write to a pipe any more. A child that another test has just spawned can until its exec, which is
    /// waited for.
    private func isAtEnd(_ pipe: Int32) -> Bool {
        var byte: UInt8 = 0
        for _ in 0..<500 {
            if read(pipe, &byte, 1) == 0 { return true }
            usleep(10_000)
        }
        return false
    }

    @Test func `what the other end has no room for is sent when it has read`() throws {
        var sent = 0
        while !ours.isCongested {
            #expect(ours.send(.ping(sent)))
            sent += 1
        }
        #expect(ours.send(.ping(sent)))
        sent += 1
        for number in 0..<sent {
            #expect(try next().0 == .ping(number))
            ours.flush()
        }
        #expect(!ours.isCongested)
        guard case .nothing = theirs.receive() else { throw Missing() }
    }

    @Test func `an end that reads nothing is given up after so many messages`() throws {
        while !ours.isCongested { ours.send(.ping(0)) }
        // The first one that waits is there already.
        for _ in 1..<ControlChannel.mostWaiting { #expect(ours.send(.ping(1))) }
        #expect(!ours.send(.ping(2)))
    }

    @Test func `the end of the other process is seen`() throws {
        theirs.close()
        guard case .closed = ours.receive() else { throw Missing() }
        #expect(!ours.send(.start))
        #expect(ours.isClosed)
    }
    @Test func `a descriptor whose number may have been handed over is ours until the channel is gone`() throws {
        let socket = ours.socket
        ours.close()
        #expect(isOpen(socket.descriptor))
        guard case .closed = theirs.wait(.seconds(10)), case .closed = ours.receive() else { throw Missing() }
        // As another executable does that has found the number.
        let successor = ControlChannel(ControlSocket(descriptor: dup(socket.descriptor)))
        guard case .closed = successor.wait(.seconds(10)) else { throw Missing() }
    }
}
