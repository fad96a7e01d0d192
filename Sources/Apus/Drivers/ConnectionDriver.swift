import ApusGateway
import ApusHTTP
import ApusTransport

/// What the drivers of all connections have in common: the requests that are under way, and how they begin and end.
///
/// Abstract; confined to the loop's thread. A subclass owns the connection and its I/O.
class ConnectionDriver {
    let worker: Worker
    /// The server's own response fields.
    let defaults: ResponseDefaults
    /// What all requests of the connection share; set before the first one.
    var info: ConnectionInfo
    /// The version that the connection has agreed on, for those who count.
    var version: Configuration.HTTPProtocol?
    // The table calls nobody, so that no access to it can overlap another.
    @exclusivity(unchecked)
    private var streams = StreamTable()
    /// The stream that holds its head for a body that may follow in the same turn; seldom there are others.
    @exclusivity(unchecked)
    private var headHolder: RequestStream?
    private var otherHeadHolders: [RequestStream] = []
    private var isAwaitingFlush = false
    /// Whether what streams say now is written by the flush that is under way.
    private var isFlushing = false

    init(worker: Worker, defaults: ResponseDefaults, info: ConnectionInfo) {
        self.worker = worker
        self.defaults = defaults
        self.info = info
    }

    // MARK: What a subclass says

    /// Whether whole files can be handed over.
    var acceptsFiles: Bool { false }
    func perform(_ event: ResponseEvent, on id: StreamID) {}
    func opened(window count: Int, on id: StreamID) {}
    func bufferedOutput(on id: StreamID) -> Int { 0 }
    /// Bytes of a stream that the peer has still to take, as far as that is known.
    func untakenOutput(on id: StreamID) -> Int { bufferedOutput(on: id) }
    func handlerEnded(on id: StreamID) {}
    /// Writes what the connection has to say; called at the end of the turn.
    func flush() {}
    /// Begins to drain.
    func shutdown() {}
    /// Ends at once: every request's client has left.
    func terminate(_ reason: String) {}

    // MARK: From the streams

    func send(_ event: ResponseEvent, on id: StreamID) {
        perform(event, on: id)
        wantsFlush()
    }

    func consumed(_ count: Int, on id: StreamID) {
        opened(window: count, on: id)
        wantsFlush()
    }

    func holdsHead(_ stream: RequestStream) {
        if headHolder == nil {
            headHolder = stream
        } else {
            otherHeadHolders.append(stream)
        }
        wantsFlush()
    }

    /// The stream has sent its head, or will not.
    func holdsHeadNoMore(_ stream: RequestStream) {
        if headHolder === stream { headHolder = nil }
    }

    func applicationEnded(on id: StreamID) {
        streams.remove(id)
        handlerEnded(on: id)
        wantsFlush()
    }

    private func wantsFlush() {
        if !isFlushing { scheduleFlush() }
    }

    // MARK: For the subclass

    /// Whether any application is at work on this connection.
    var hasRequests: Bool { !streams.isEmpty }

    /// Sends the heads for which nothing followed.
    func releaseHeads() {
        if let stream = headHolder {
            headHolder = nil
            stream.releaseHead()
        }
        guard !otherHeadHolders.isEmpty else { return }
        let others = otherHeadHolders
        otherHeadHolders = []
        for stream in others {
            stream.releaseHead()
        }
    }

    /// Does `work`, then writes all that came of it, in one go.
    func flushing(after work: () -> Void) {
        isFlushing = true
        work()
        flush()
        isFlushing = false
    }

    /// Takes an event to its stream; a request starts its application.
    func dispatch(_ event: StreamEvent) {
        switch event {
        case .request(let id, let head):
            worker.requestCount &+= 1
            let stream = RequestStream(id: id, head: head, driver: self, worker: worker)
            streams.insert(stream)
            if let webSocket = stream.webSocket, !webSocket.isAdmitted() { return }
            stream.startApplication()
        case .body(let id, let bytes):
            guard let stream = streams[id] else {
                opened(window: bytes.count, on: id)
                return
            }
            stream.bodyArrived(bytes)
        case .end(let id, let trailers):
            streams[id]?.requestEnded(trailers: trailers)
        case .reset(let id, _):
            streams[id]?.clientLeft()
        case .writable(let id):
            streams[id]?.becameWritable()
        }
    }

    /// Says goodbye on every WebSocket: the server goes.
    func closeWebSockets(_ code: WebSocketCloseCode) {
        for stream in streams.all {
            stream.webSocket?.leave(code)
        }
    }

    /// The connection is gone, and with it the client of every request.
    func clientLeft() {
        let gone = streams.all
        // Not once their applications end: those may outlive the loop, and with it the last chance to part.
        streams = StreamTable()
        headHolder = nil
        otherHeadHolders = []
        for stream in gone {
            stream.clientLeft()
        }
    }

    func scheduleFlush() {
        guard !isAwaitingFlush else { return }
        isAwaitingFlush = true
        worker.loop.atEndOfTurn(self)
    }
}

extension ConnectionDriver: TurnEndHandler {
    func turnDidEnd() {
        isAwaitingFlush = false
        flushing {}
    }
}

/// The requests of a connection by stream: one lies at hand, the others in a table.
///
/// Most requests end in the turn in which they began, so that the table is seldom touched.
struct StreamTable {
    private var first: RequestStream?
    private var others: [StreamID: RequestStream] = [:]

    var all: [RequestStream] {
        (first.map { [$0] } ?? []) + Array(others.values)
    }

    var isEmpty: Bool { first == nil && others.isEmpty }

    subscript(id: StreamID) -> RequestStream? {
        if let first, first.id == id { return first }
        return others.isEmpty ? nil : others[id]
    }

    mutating func insert(_ stream: RequestStream) {
        if first == nil {
            first = stream
        } else {
            others[stream.id] = stream
        }
    }

    mutating func remove(_ id: StreamID) {
        if first?.id == id {
            first = nil
        } else if !others.isEmpty {
            others[id] = nil
        }
    }
}
