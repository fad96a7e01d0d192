import ApusHTTP
import CApusShims
import Glibc
import Synchronization

/// One end of the connection between a supervisor and one of its workers: whole messages in order, each with
/// descriptors, and the end of either process is seen by the other.
///
/// `@unchecked Sendable`: nothing changes but `isClosed`, which is atomic, and `registered`, which belongs to
/// the loop's thread. One thread at a time uses it.
package final class ControlSocket: @unchecked Sendable {
    package enum SendResult: Hashable, Sendable {
        case sent
        /// Not sent: the other end has not read what came before (or holds too many descriptors unread).
        case wouldBlock
        /// The other end is gone.
        case closed
    }

    package enum Received: Hashable, Sendable {
        /// The bytes, and the descriptors, which are close-on-exec and belong to the receiver.
        case message([UInt8], [Int32])
        case nothing
        /// The other end is gone, or has sent what is no message of ours.
        case closed
    }

    /// Bytes of a message.
    package static let maxMessageBytes = 65_536
    /// Descriptors of a message.
    package static let maxDescriptors = Int(APUS_MAX_DESCRIPTORS)
    /// What is asked for as the kernel's buffer, several of the largest messages; the system's maximum may be less.
    static let kernelBufferBytes: Int32 = 1 << 20

    package let descriptor: Int32
    private let isClosed = Atomic<Bool>(false)
    private var registered: (loop: EventLoop, registration: Registration)?

    /// Both ends of a new connection; the other process finds its end as `inherited`.
    package static func pair() throws(SystemError) -> (ControlSocket, ControlSocket) {
        let type = Int32(SOCK_SEQPACKET.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        let (first, second) = try socketPair(type, bufferBytes: kernelBufferBytes)
        return (ControlSocket(descriptor: first), ControlSocket(descriptor: second))
    }

    /// Takes over one end.
    package init(descriptor: Int32) {
        self.descriptor = descriptor
    }

    /// Takes over the end that the parent process has given to this one; nil, and nothing is changed, for any
    /// other descriptor: whoever else starts this program cannot pass for a supervisor.
    package static func inherited(_ descriptor: Int32) -> ControlSocket? {
        guard (try? getOption(descriptor, SOL_SOCKET, SO_DOMAIN)) == AF_UNIX,
            (try? getOption(descriptor, SOL_SOCKET, SO_TYPE)) == Int32(SOCK_SEQPACKET.rawValue),
            // Of a socket pair the kernel remembers who has made it.
            apus_peer_process(descriptor) == getppid(),
            (try? setNonBlockingAndCloseOnExec(descriptor)) != nil
        else { return nil }
        return ControlSocket(descriptor: descriptor)
    }

    deinit {
        // A watched socket is kept alive by its handler, so there is nothing to deregister here.
        if !isClosed.load(ordering: .relaxed) { Glibc.close(descriptor) }
    }

    // MARK: Messages

    /// Sends one message, whole or not at all; the descriptors stay the sender's.
    package func send(_ bytes: [UInt8], descriptors: [Int32] = []) -> SendResult {
        precondition(!bytes.isEmpty && bytes.count <= Self.maxMessageBytes, "a control message has 1 to 65536 bytes")
        precondition(descriptors.count <= Self.maxDescriptors, "a control message has at most 128 descriptors")
        guard !isClosed.load(ordering: .relaxed) else { return .closed }
        switch apus_control_send(descriptor, bytes, bytes.count, descriptors, UInt32(descriptors.count)) {
        case 0...: return .sent
        case -Int(EAGAIN), -Int(ENOBUFS), -Int(ENOMEM), -Int(ETOOMANYREFS): return .wouldBlock
        default: return .closed
        }
    }

    /// Takes the next message. One that is too large, or has too many descriptors, counts as the end: what follows would
    /// not make sense. One with more descriptors than this process may still have arrives without any.
    package func receive() -> Received {
        guard !isClosed.load(ordering: .relaxed) else { return .closed }
        return withUnsafeTemporaryAllocation(of: Int32.self, capacity: Self.maxDescriptors) { descriptors in
            withUnsafeTemporaryAllocation(byteCount: Self.maxMessageBytes, alignment: 16) { bytes in
                var count: UInt32 = 0
                let length = apus_control_receive(
                    descriptor,
                    bytes.baseAddress,
                    bytes.count,
                    descriptors.baseAddress,
                    &count
                )
                guard length != -Int(EAGAIN) else { return .nothing }
                // A message has bytes, so that none means the end, as any error does.
                guard length > 0 else { return .closed }
                return .message(Array(bytes[..<length]), Array(descriptors[..<Int(count)]))
            }
        }
    }

    /// Waits for the next message, at most for `timeout`: for the time when there is no loop.
    package func waitForMessage(timeout: TimeSpan) -> Received {
        let deadline = EventLoop.readClock() + timeout
        while true {
            let received = receive()
            guard received == .nothing else { return received }
            let left = deadline.since(EventLoop.readClock())
            guard left > .milliseconds(0) else { return .nothing }
            var descriptor = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            // Rounded up, so that the last wait is not a busy one.
            poll(&descriptor, 1, Int32(clamping: left.nanoseconds / 1_000_000 + 1))
        }
    }

    // MARK: Watching

    /// Watches the socket: level-triggered, for reading, and for writing while `setWantsWritable(true)`. The
    /// other's end is reported again and again: who has received `closed` closes.
    package func register(on loop: EventLoop, handler: any EventHandler) throws(SystemError) {
        registered = (loop, try loop.register(descriptor, handler: handler, mode: .level))
    }

    /// Asks for a writable event, after a send that would block, or no longer.
    package func setWantsWritable(_ wanted: Bool) throws(SystemError) {
        guard let registered else { return }
        let interest: IOEvents = wanted ? [.readable, .writable] : .readable
        try registered.loop.setInterest(interest, registered.registration, descriptor: descriptor)
    }

    /// Takes no more part, which the other end sees, and watches nothing. The descriptor stays open, and its number ours,
    /// until ``close()`` or the end of this object. Harmless if repeated.
    package func disconnect() {
        guard !isClosed.load(ordering: .relaxed) else { return }
        stopWatching()
        shutdown(descriptor, Int32(SHUT_RDWR))
    }

    /// Closes this end, which the other one sees. Harmless if repeated.
    package func close() {
        guard !isClosed.exchange(true, ordering: .relaxed) else { return }
        stopWatching()
        Glibc.close(descriptor)
    }

    private func stopWatching() {
        if let registered { registered.loop.deregister(registered.registration, descriptor: descriptor) }
        registered = nil
    }
}

/// Two connected Unix sockets, each with a buffer of (about) so many bytes for what it sends.
func socketPair(_ type: Int32, bufferBytes: Int32) throws(SystemError) -> (Int32, Int32) {
    var ends: [Int32] = [-1, -1]
    guard socketpair(AF_UNIX, type, 0, &ends) == 0 else { throw .last("socketpair") }
    do throws(SystemError) {
        for end in ends { try setOption(end, SOL_SOCKET, SO_SNDBUF, bufferBytes) }
    } catch {
        for end in ends { close(end) }
        throw error
    }
    return (ends[0], ends[1])
}
