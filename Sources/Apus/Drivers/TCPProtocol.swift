import ApusGateway
import ApusHTTP
import ApusHTTP2

/// The protocol of a TCP connection: an enum and not an existential, because every byte passes through it.
enum TCPProtocol {
    case http1(HTTP1Connection)
    case http2(HTTP2Connection)

    var version: Configuration.HTTPProtocol {
        switch self {
        case .http1: .http1
        case .http2: .http2
        }
    }

    func receive(_ bytes: UnsafeRawBufferPointer, now: Instant) {
        switch self {
        case .http1(let connection): connection.receive(bytes, now: now)
        case .http2(let connection): connection.receive(bytes, now: now)
        }
    }

    func receiveEnd(now: Instant) {
        switch self {
        case .http1(let connection): connection.receiveEnd(now: now)
        case .http2(let connection): connection.receiveEnd(now: now)
        }
    }

    func send(_ event: ResponseEvent, on id: StreamID) {
        switch self {
        case .http1(let connection): connection.send(event, on: id)
        case .http2(let connection): connection.send(event, on: id)
        }
    }

    func consumed(_ count: Int, on id: StreamID) {
        switch self {
        case .http1(let connection): connection.consumed(count, on: id)
        case .http2(let connection): connection.consumed(count, on: id)
        }
    }

    func applicationEnded(on id: StreamID) {
        switch self {
        case .http1(let connection): connection.applicationEnded(on: id)
        case .http2(let connection): connection.applicationEnded(on: id)
        }
    }

    func bufferedOutput(on id: StreamID) -> Int {
        switch self {
        case .http1(let connection): connection.bufferedOutput(on: id)
        case .http2(let connection): connection.bufferedOutput(on: id)
        }
    }

    func handleTimeout(now: Instant) {
        switch self {
        case .http1(let connection): connection.handleTimeout(now: now)
        case .http2(let connection): connection.handleTimeout(now: now)
        }
    }

    func nextEvent() -> StreamEvent? {
        switch self {
        case .http1(let connection): connection.nextEvent()
        case .http2(let connection): connection.nextEvent()
        }
    }

    func nextOutput(into output: inout OutputBuffer, now: Instant) {
        switch self {
        case .http1(let connection): connection.nextOutput(into: &output, now: now)
        case .http2(let connection): connection.nextOutput(into: &output, now: now)
        }
    }

    func shutdown(now: Instant) {
        switch self {
        case .http1(let connection): connection.shutdown(now: now)
        case .http2(let connection): connection.shutdown(now: now)
        }
    }

    var deadline: Instant? {
        switch self {
        case .http1(let connection): connection.deadline
        case .http2(let connection): connection.deadline
        }
    }

    var wantsInput: Bool {
        switch self {
        case .http1(let connection): connection.wantsInput
        case .http2(let connection): connection.wantsInput
        }
    }

    var acceptsFiles: Bool {
        switch self {
        case .http1(let connection): connection.acceptsFiles
        case .http2: false
        }
    }

    var disposition: Disposition {
        switch self {
        case .http1(let connection): connection.disposition
        case .http2(let connection): connection.disposition
        }
    }

    var connectionError: ConnectionError? {
        switch self {
        case .http1(let connection): connection.connectionError
        case .http2(let connection): connection.connectionError
        }
    }
}
