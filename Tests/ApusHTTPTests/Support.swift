import ApusGateway
import ApusHTTP
import Glibc

/// Drives an engine as a driver does, with time in its hands, and keeps what came of it.
final class Driver {
    let engine: HTTP1Connection
    var now: Instant
    var requests: [(StreamID, RequestHead)] = []
    var body: [UInt8] = []
    var bodyPieces: [Int] = []
    var ends: [Headers?] = []
    var resets: [StreamReset] = []
    var writable = 0
    /// Everything that left the engine.
    var written: [UInt8] = []
    /// Answers each request once it is complete, where set.
    var answer: ((Driver, StreamID, RequestHead) -> Void)?

    init(_ limits: Limits = Limits(), secure: Bool = false, acceptsFiles: Bool = true, webSockets: Bool = false) {
        now = Instant(nanoseconds: 1_000_000_000)
        engine = HTTP1Connection(
            limits: limits,
            secure: secure,
            acceptsFiles: acceptsFiles,
            webSockets: webSockets,
            now: now
        )
    }

    func receive(_ text: String) {
        receive(Array(text.utf8))
    }

    func receive(_ bytes: [UInt8]) {
        bytes.withUnsafeBytes { engine.receive($0, now: now) }
        settle()
    }

    func receiveEnd() {
        engine.receiveEnd(now: now)
        settle()
    }

    func send(_ event: ResponseEvent, on stream: UInt64? = nil) {
        engine.send(event, on: stream.map { StreamID($0) } ?? lastStream)
        settle()
    }

    func pass(seconds: Double) {
        now = now + .seconds(seconds)
        if let deadline = engine.deadline, deadline <= now { engine.handleTimeout(now: now) }
        settle()
    }

    var lastStream: StreamID { requests.last?.0 ?? StreamID(0) }

    var text: String { String(decoding: written, as: UTF8.self) }

    var status: String { String(text.split(separator: " ").dropFirst().first ?? "") }

    func settle() {
        drainEvents()
        drainOutput()
        drainEvents()
    }

    func drainEvents() {
        while let event = engine.nextEvent() {
            switch event {
            case .request(let stream, let head):
                requests.append((stream, head))
            case .body(_, let bytes):
                body += bytes
                bodyPieces.append(bytes.count)
            case .end(let stream, let trailers):
                ends.append(trailers)
                if let head = requests.last?.1 { answer?(self, stream, head) }
            case .reset(_, let reset): resets.append(reset)
            case .writable: writable += 1
            }
        }
    }

    func drainOutput() {
        var buffer = OutputBuffer()
        repeat {
            buffer.removeAll()
            engine.nextOutput(into: &buffer, now: now)
            written += bytes(of: buffer)
        } while !buffer.isEmpty
    }
}

/// The memory in a buffer, up to a file.
func bytes(of buffer: borrowing OutputBuffer) -> [UInt8] {
    buffer.withVectors(limit: 1024) { vectors in
        vectors.flatMap { Array(UnsafeRawBufferPointer(start: $0.iov_base, count: $0.iov_len)) }
    }
}

extension ResponseHead {
    static func ok(length: Int? = nil) -> ResponseHead {
        var headers: Headers = ["content-type": "text/plain"]
        if let length { headers.append("content-length", String(length)) }
        return ResponseHead(status: 200, headers: headers, contentLength: length)
    }
}

/// Answers every request with a small body of known length.
func answerHello(_ driver: Driver, _ stream: StreamID, _ head: RequestHead) {
    driver.engine.send(.head(.ok(length: 5)), on: stream)
    driver.engine.send(.body("hello", end: true), on: stream)
}

/// Memory whose end can be seen.
final class Owner {
    private let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 2000, alignment: 1)

    var bytes: Bytes { Bytes(owner: self, memory: UnsafeRawBufferPointer(memory)) }

    deinit { memory.deallocate() }
}
