import ApusGateway

/// The server's side of one HTTP/1.1 or HTTP/1.0 connection: bytes and the time in, events and bytes out.
///
/// Requests are answered one after the other: the next head is read when the request before it has been read and its
/// response is complete, so that responses leave in order and a pipelining client costs no more than another.
///
///     reading:     head -> length | chunked -> trailers -> complete -> head ...    any -> closed
///     responding:  nothing -> head -> length | chunked | untilClose -> nothing
///
/// `reading` is a body while `responding` is `nothing`: the response is complete and the rest of the body is thrown away.
/// A request for a WebSocket is `complete` at once; where it is accepted, both become `tunnel` and stay so to the end.
package final class HTTP1Connection {
    /// What the next input is.
    enum Reading: Hashable {
        case head
        /// A body of which so many bytes are still to come, at least one.
        case length(Int)
        case chunked
        case trailers
        /// Nothing before the response is complete.
        case complete
        /// Bytes of a WebSocket, which are passed on as they are.
        case tunnel
        /// Nothing any more.
        case closed
    }

    /// What the application sends next.
    enum Responding: Hashable {
        /// Nothing: there is no request, or its response is complete or given up.
        case nothing
        case head
        /// A body whose end the fields have told.
        case length
        case chunked
        /// A body that ends with the connection.
        case untilClose
        /// Bytes of a WebSocket.
        case tunnel
    }

    /// The largest piece of a request body in one event.
    static let maxBodyPiece = 64 * 1024
    /// Input behind a request that is not yet answered, before the socket is no longer read.
    static let maxWaitingInput = 64 * 1024
    /// What one call of ``nextOutput(into:now:)`` gives at most.
    static let maxOutputPiece = 256 * 1024

    let limits: Limits
    let headLimits: HeadLimits
    let parser: RequestHeadParser
    /// Whether responses may have pieces of files.
    package let acceptsFiles: Bool

    var reading = Reading.head
    var responding = Responding.nothing
    /// The request under way; requests are counted from 1.
    var requestCount: UInt64 = 0
    var request: RequestFacts
    var chunks: ChunkedDecoder
    var headScanner = HeadScanner(hasRequestLine: true)
    var trailerScanner = HeadScanner(hasRequestLine: false)
    /// Whether the empty line that may come before a request was there.
    var hasSkippedEmptyLine = false

    // `input`, `output` and `events` are touched by this class alone, which never calls out while one of them is lent:
    // checking that on every access would be a tenth of a small request.

    /// Input that could not be used yet, from `inputStart` on.
    @exclusivity(unchecked) var input: [UInt8] = []
    var inputStart = 0
    /// Body bytes that the application has not taken.
    var unconsumed = 0
    /// Body bytes thrown away since the response was complete.
    var drained = 0

    @exclusivity(unchecked) var output = OutputBuffer()
    /// Whether so much output waited that `writable` is owed.
    var owesWritable = false
    @exclusivity(unchecked) var events = EventQueue()

    var wait: Wait
    /// When the wait began; nil where it began in a call that was not told the time.
    var waitStart: Instant?
    /// The latest time that the connection was told.
    var latest: Instant
    /// Whether the next head is the connection's last.
    var isShuttingDown = false

    /// What the driver does once the output is written.
    package internal(set) var disposition = Disposition.open
    /// Why the connection ended before its time.
    package internal(set) var connectionError: ConnectionError?

    /// - Parameters:
    ///   - secure: Whether the connection is encrypted; decides the requests' scheme.
    ///   - acceptsFiles: Whether the driver can write files to the socket as they are.
    ///   - webSockets: Whether WebSockets are served; a request for one is an ordinary request otherwise.
    package init(limits: Limits, secure: Bool, acceptsFiles: Bool, webSockets: Bool = false, now: Instant) {
        self.limits = limits
        self.acceptsFiles = acceptsFiles
        headLimits = HeadLimits(limits)
        parser = RequestHeadParser(limits: headLimits, secure: secure, webSockets: webSockets)
        chunks = ChunkedDecoder(maxExtensionsSize: limits.maxChunkExtensionsSize)
        request = RequestFacts()
        wait = .head
        waitStart = now
        latest = now
    }

    // MARK: Input

    /// Takes bytes from the peer, in any pieces.
    package func receive(_ bytes: UnsafeRawBufferPointer, now: Instant) {
        latest = now
        guard reading != .closed, bytes.count > 0 else { return }
        if input.isEmpty {
            let used = read(bytes)
            if used < bytes.count { input.append(contentsOf: bytes[used...]) }
        } else {
            input.append(contentsOf: bytes)
            readInput()
        }
        settleWait(now, progress: true)
    }

    /// Takes the peer's FIN. A client that ends its side has left (its live request is reset).
    package func receiveEnd(now: Instant) {
        latest = now
        guard reading != .closed else { return }
        if reading == .tunnel {
            deliverRestOfTunnel()
            connectionError = ConnectionError(.peerGone, "the client left with its WebSocket open")
            giveUpRequest(.connectionLost)
        } else if isRequestLive {
            connectionError = ConnectionError(.peerGone, "the client left before its response was complete")
            giveUpRequest(.connectionLost)
        } else {
            close()
        }
        settleWait(now)
    }

    /// Notes that the application has taken body bytes.
    package func consumed(_ count: Int, on stream: StreamID) {
        guard isLive(stream) else { return }
        unconsumed = max(0, unconsumed - count)
        readInput()
        settleWait(nil)
    }

    /// Nothing to do on HTTP/1: a connection has one stream at a time, which ends with its response.
    package func applicationEnded(on stream: StreamID) {}

    /// Ends the connection with the next response whose head has not gone out: it says so (RFC 9112 §9.6).
    ///
    /// A client that was told nothing may be sending its next request right now: an idle connection waits for it, as
    /// long as it would have waited anyway.
    package func shutdown(now: Instant) {
        latest = now
        isShuttingDown = true
        settleWait(now)
    }

    // MARK: Output

    /// The next event; drained until nil after every call.
    package func nextEvent() -> StreamEvent? {
        events.removeFirst()
    }

    /// Moves what is to be written next to the end of `buffer`; nothing where there is nothing to say.
    package func nextOutput(into buffer: inout OutputBuffer, now: Instant) {
        latest = now
        buffer.take(&output, atMost: Self.maxOutputPiece)
        if owesWritable, output.count <= limits.streamSendLowWater {
            owesWritable = false
            if isRequestLive { events.append(.writable(StreamID(requestCount))) }
        }
        if reading == .head { readInput() }
        // A tunnel may be silent for hours: neither buffer keeps room for what it may say then.
        if reading == .tunnel, buffer.isEmpty {
            output.releaseMemory()
            buffer.releaseMemory()
        }
        settleWait(now)
    }

    /// Whether the driver should read the socket.
    package var wantsInput: Bool {
        switch reading {
        case .head, .complete: waitingInput < Self.maxWaitingInput
        case .length, .chunked, .trailers, .tunnel: waitingInput < Self.maxWaitingInput && !isPaused
        case .closed: false
        }
    }

    /// Bytes that wait to be written.
    package func bufferedOutput(on stream: StreamID) -> Int {
        isLive(stream) ? output.count : 0
    }

    // MARK: State

    /// Whether a request waits for its response or the rest of it.
    var isRequestLive: Bool { responding != .nothing }

    /// Whether the body waits for the application to take what it has.
    var isPaused: Bool { isRequestLive && unconsumed >= limits.streamReceiveWindow }

    var waitingInput: Int { input.count - inputStart }

    func isLive(_ stream: StreamID) -> Bool {
        isRequestLive && stream.rawValue == requestCount
    }

    /// Ends the connection in order, after the output.
    func close() {
        stopReading()
        disposition = .close
    }

    /// Interprets nothing any more.
    func stopReading() {
        reading = .closed
        input = []
        inputStart = 0
    }

    /// Tells the application that its client has left, and the client, where a response has begun, that it is incomplete.
    func giveUpRequest(_ reset: StreamReset) {
        events.append(.reset(StreamID(requestCount), reset))
        // A WebSocket says itself how it ends; what is queued of it may be just that.
        let canEndInOrder = responding == .head || responding == .tunnel
        responding = .nothing
        stopReading()
        disposition = canEndInOrder ? .close : .abort
    }
}

/// What the response to a request depends on.
struct RequestFacts {
    var isHTTP10 = false
    var isHead = false
    /// Whether the connection goes on after the response.
    var keepsAlive = true
    /// Whether the client holds the body back for a 100 that it has not got.
    var awaitsContinue = false
    /// Whether the request asks for a WebSocket.
    var isWebSocket = false
}
