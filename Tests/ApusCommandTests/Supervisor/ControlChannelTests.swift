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
        let before = try openDescriptors()
        ours.send(.ping(1), [STDERR_FILENO])
        let (message, descriptors) = try next()
        #expect(message == .ping(1) && descriptors.isEmpty)
        #expect(try openDescriptors() == before)
    }

    private func openDescriptors() throws -> Set<Int32> {
        Set((0..<256).filter(isOpen))
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
