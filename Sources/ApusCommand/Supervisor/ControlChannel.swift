import ApusHTTP
import ApusTransport
import Glibc

/// One end of a control socket: messages in their order, also where the other end is slow to take them, and with more
/// descriptors than go with one.
///
/// Not Sendable: it is used on one loop, or before there is one.
final class ControlChannel {
    /// Messages that may wait for the other end before it counts as gone.
    static let mostWaiting = 256

    /// What the other end has said.
    enum Received {
        case message(ControlMessage, [Int32])
        /// A line that is not understood.
        case unknown(String)
        case nothing
        case closed
    }

    let socket: ControlSocket
    private var waiting: ArraySlice<(bytes: [UInt8], descriptors: [Int32])> = []
    /// Descriptors that came ahead of their message.
    private var ahead: [Int32] = []
    private(set) var isClosed = false
    private var isRegistered = false
    /// Whether the loop says when there is room again.
    private var wantsWritable = false

    init(_ socket: ControlSocket) {
        self.socket = socket
    }

    /// Whether something waits until the other end reads.
    var isCongested: Bool { !waiting.isEmpty }

    /// Sends a message, now or as soon as the other end has room; false where it is gone, or does not read any more.
    ///
    /// The descriptors stay the caller's and must be open until then.
    @discardableResult
    func send(_ message: ControlMessage, _ descriptors: [Int32] = []) -> Bool {
        var rest = descriptors[...]
        while rest.count > ControlSocket.maxDescriptors {
            waiting.append((ControlMessage.descriptors.encoded, Array(rest.prefix(ControlSocket.maxDescriptors))))
            rest = rest.dropFirst(ControlSocket.maxDescriptors)
        }
        waiting.append((message.encoded, Array(rest)))
        return flush()
    }

    /// Tries again to send what waits; false as of ``send(_:_:)``.
    @discardableResult
    func flush() -> Bool {
        while !isClosed, let next = waiting.first {
            switch socket.send(next.bytes, descriptors: next.descriptors) {
            case .sent: waiting = waiting.dropFirst()
            case .wouldBlock:
                want(writable: true)
                return waiting.count <= Self.mostWaiting
            case .closed: close()
            }
        }
        want(writable: false)
        return !isClosed
    }

    private func want(writable: Bool) {
        guard isRegistered, !isClosed, writable != wantsWritable else { return }
        // It fails for a lack of memory at most; the next message tries again.
        wantsWritable = (try? socket.setWantsWritable(writable)) != nil ? writable : wantsWritable
    }

    /// Tells `handler` of what comes, and sends what waits as the other end reads.
    func register(on loop: EventLoop, handler: any EventHandler) throws(SystemError) {
        try socket.register(on: loop, handler: handler)
        isRegistered = true
        flush()
    }

    /// What has come, without waiting.
    func receive() -> Received {
        isClosed ? .closed : next { socket.receive() }
    }

    /// What comes within `timeout`.
    func wait(_ timeout: TimeSpan) -> Received {
        isClosed ? .closed : next { socket.waitForMessage(timeout: timeout) }
    }

    private func next(_ receive: () -> ControlSocket.Received) -> Received {
        while true {
            switch receive() {
            case .nothing: return .nothing
            case .closed: return .closed
            case .message(let bytes, let descriptors):
                let message = ControlMessage(encoded: bytes)
                ahead += descriptors
                if message == .descriptors, ahead.count <= Self.mostDescriptors { continue }
                let all = ahead
                ahead = []
                guard let message, message.takesDescriptors else {
                    for descriptor in all { Glibc.close(descriptor) }
                    return message.map { .message($0, []) }
                        ?? .unknown(String(decoding: bytes.prefix(80), as: UTF8.self))
                }
                return .message(message, all)
            }
        }
    }

    /// More than any message has.
    private static let mostDescriptors = 4096

    /// Says and hears nothing more. The socket's descriptor stays open as long as the channel is there: its number may be
    /// handed to another executable, for which it must not be somebody else's.
    func close() {
        guard !isClosed else { return }
        isClosed = true
        waiting = []
        for descriptor in ahead { Glibc.close(descriptor) }
        ahead = []
        socket.disconnect()
    }

    deinit {
        close()
    }
}
