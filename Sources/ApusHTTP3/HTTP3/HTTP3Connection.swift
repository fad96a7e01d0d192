import ApusGateway
import ApusHTTP
import CNghttp3
import CNgtcp2

/// One client's HTTP/3 connection: streams and their events over QUIC, without a socket or a clock.
///
/// Made by a ``QUICEndpoint``, which hands it its datagrams and must outlive it. Confined to one thread. After each
/// input the driver drains ``nextEvent()``; at the end of its turn it asks ``writePackets(into:now:)`` for trains until
/// there is none. A connection whose ``disposition`` is no longer `open` has left the wire and freed all but its last
/// events: the driver drains those and lets it go.
package final class HTTP3Connection {
    /// What the driver keeps with this connection; never touched here.
    package var context: AnyObject?
    /// Whether the connection goes on; anything else is final.
    package internal(set) var disposition = Disposition.open
    /// Why it ended before its time.
    package internal(set) var connectionError: ConnectionError?
    /// No body of a file: QUIC keeps what it sends.
    package let acceptsFiles = false

    /// Both libraries' callbacks write here.
    let sink: UnsafeMutablePointer<ConnectionSink>
    /// The handles; nil once the connection is over.
    var quic: QUICConnection?
    unowned let endpoint: QUICEndpoint
    let limits: Limits
    /// The IDs under which datagrams reach this connection.
    var identifiers: [ConnectionID]
    /// The latest time that ngtcp2 has seen: it must never go back.
    private(set) var latest: Instant
    /// When the peer's last datagram came.
    private(set) var heard: Instant
    /// When streams are next looked at for one that the peer has let stand; nil while none could be.
    var stallCheck: Instant?
    /// Streams whose places were given back before QUIC has closed them.
    var streamsLetGo = 0
    /// Tunnels that may be quiet for as long as they like: the connection is kept alive for them.
    var openTunnels = 0
    /// When to look for requests that go on after their response; nil while there are none.
    var earlyAnswerCheck: Instant?
    /// How many request heads had begun when that was last set.
    private var streamsSeen = 0

    var events = EventQueue()
    var credit: ReceiveCredit
    var resets: TokenBucket
    var shutdownStep = ShutdownStep.none
    /// Whether requests were under way when the shutdown began, or have come since.
    var lingers = false

    /// Trains that the socket did not take, oldest first.
    var heldTrains: [HeldTrain] = []
    /// Streams whose end nghttp3 offered and QUIC did not take.
    var pendingFins: [Int64] = []
    /// ngtcp2 has nothing to say until something happens.
    var isExhausted = false
    /// The client has not proved its address yet, and came without a token.
    var isUnproved = false
    /// In the endpoint's list of connections that need attention.
    var isTouched = false
    var heapIndex = -1
    private var cachedInfo: Info?

    /// What of the graceful end has been done.
    enum ShutdownStep {
        case none
        /// The handshake is not over; it has until then.
        case shakingHands(until: Instant)
        /// The first GOAWAY is out; the one with the real ID follows at this time.
        case noticed(next: Instant)
        /// No more requests are accepted.
        case refusing
        /// Everything is answered; the client has until then to take it, and to close by itself.
        case lingering(until: Instant)
    }

    init?(_ newcomer: QUICConnection.Newcomer, endpoint: QUICEndpoint, now: Instant) {
        let configuration = endpoint.configuration
        sink = .allocate(capacity: 1)
        sink.initialize(to: ConnectionSink(routing: endpoint.routing, configuration: configuration))
        self.endpoint = endpoint
        limits = configuration.limits
        latest = now
        heard = now
        credit = ReceiveCredit(limit: limits.connectionReceiveWindow)
        resets = TokenBucket(burst: limits.streamResetBurst, perSecond: Double(limits.streamResetBurst) / 3)
        identifiers = [newcomer.identifier, ConnectionID(newcomer.header.dcid)]
        guard let quic = QUICConnection(newcomer, configuration: configuration, sink: sink, now: now) else {
            return nil
        }
        self.quic = quic
    }

    deinit {
        freeLibraries()
        sink.pointee.streams.deallocate()
        sink.deinitialize(count: 1)
        sink.deallocate()
    }

    /// Frees what the libraries hold: nghttp3, then ngtcp2, then TLS.
    func freeLibraries() {
        if let http = sink.pointee.http {
            nghttp3_conn_del(http)
            sink.pointee.http = nil
        }
        sink.pointee.quic = nil
        quic = nil
    }

    /// The time to tell ngtcp2, which asserts that it never goes back.
    func advance(to now: Instant) -> Instant {
        latest = max(latest, now)
        return latest
    }

    // MARK: Input

    /// Takes a datagram that the endpoint has found to be this connection's.
    func receive(
        _ datagram: UnsafeRawBufferPointer,
        local: SocketAddress,
        remote: SocketAddress,
        ecn: UInt8,
        now: Instant
    ) {
        guard let quic else { return }
        let now = advance(to: now)
        heard = now
        isExhausted = false
        let status = quic.read(datagram, local: local, remote: remote, ecn: ecn, now: now)
        settle()
        if sink.pointee.streamsBegun != streamsSeen {
            streamsSeen = sink.pointee.streamsBegun
            watchForStalls(within: .seconds(limits.headTimeout))
            if case .noticed = shutdownStep { lingers = true }
        }
        if status != 0 { fail(status, now: now) }
    }

    /// Does what is due at `now`.
    package func handleTimeout(now: Instant) {
        guard let quic else { return }
        let now = advance(to: now)
        isExhausted = false
        continueShutdown(now: now)
        checkStalls(now: now)
        stopUnneededRequests(now: now)
        guard disposition == .open, ngtcp2_conn_get_expiry(quic.handle) <= now.nanoseconds else { return }
        let status = ngtcp2_conn_handle_expiry(quic.handle, now.nanoseconds)
        settle()
        if status != 0 { fail(status, now: now) }
    }

    /// When this connection next needs the time; the endpoint keeps the earliest of all.
    package var deadline: Instant? {
        guard let quic else { return nil }
        var expiry = ngtcp2_conn_get_expiry(quic.handle)
        switch shutdownStep {
        case .none, .refusing: break
        case .shakingHands(let until): expiry = min(expiry, until.nanoseconds)
        case .noticed(let next): expiry = min(expiry, next.nanoseconds)
        case .lingering(let until): expiry = min(expiry, until.nanoseconds)
        }
        if let stallCheck { expiry = min(expiry, stallCheck.nanoseconds) }
        if let earlyAnswerCheck { expiry = min(expiry, earlyAnswerCheck.nanoseconds) }
        return expiry == .max ? nil : Instant(nanoseconds: expiry)
    }

    /// Brings the endpoint's table up to date with the IDs that ngtcp2 has given out and taken back.
    func settle() {
        if !sink.pointee.issued.isEmpty {
            for identifier in sink.pointee.issued {
                identifiers.append(identifier)
                endpoint.table.insert(identifier, self)
            }
            sink.pointee.issued.removeAll(keepingCapacity: true)
        }
        if !sink.pointee.retired.isEmpty {
            for identifier in sink.pointee.retired {
                identifiers.removeAll { $0 == identifier }
                endpoint.table.remove(identifier)
            }
            sink.pointee.retired.removeAll(keepingCapacity: true)
        }
        if sink.pointee.handshakeCompleted {
            sink.pointee.handshakeCompleted = false
            handshakeCompleted()
        }
        if let address = sink.pointee.provedAddress {
            sink.pointee.provedAddress = nil
            sendToken(for: address)
        }
    }

    /// Gives the client what makes its next connection cheaper, and goes on with a shutdown that has waited for this.
    private func handshakeCompleted() {
        guard let quic else { return }
        quic.tls.sendTicket()
        sendToken(for: quic.remote)
        endpoint.addressProved(self)
        guard case .shakingHands = shutdownStep else { return }
        shutdownStep = .none
        lingers = true
        shutdown(now: latest)
    }

    /// RFC 9000 §8.1.3: with the token the client need not prove this address again.
    private func sendToken(for address: SocketAddress) {
        guard let quic else { return }
        let token = endpoint.tokens.newToken(for: address)
        // Without it the next handshake takes as long as this one: nothing to act on.
        if !token.isEmpty { _ = ngtcp2_conn_submit_new_token(quic.handle, token, token.count) }
    }

    // MARK: Output

    /// The next event; nil where there is none for now.
    package func nextEvent() -> StreamEvent? {
        if let event = events.next() { return event }
        guard !sink.pointee.records.isEmpty else { return nil }
        drain()
        return events.next()
    }

    /// Response bytes of a stream that QUIC has not been handed yet.
    package func bufferedOutput(on stream: StreamID) -> Int {
        self[stream]?.pointee.body.waiting ?? 0
    }

    /// Streams that have a request and are not over, their applications included.
    package var openStreams: Int { sink.pointee.streams.count - streamsLetGo }

    /// The stream with this ID.
    subscript(stream: StreamID) -> UnsafeMutablePointer<HTTP3Stream>? {
        guard let id = Int64(exactly: stream.rawValue) else { return nil }
        return sink.pointee.streams[id]
    }
}

extension HTTP3Connection: Expiring {}

// MARK: - Facts

extension HTTP3Connection {
    /// What a request's scope says about its connection.
    package struct Info: Sendable {
        package let local: SocketAddress
        package let remote: SocketAddress
        /// 0x0304: QUIC knows no other (RFC 9001 §4.2).
        package let tlsVersion = 0x0304
        /// The cipher suite's IANA number; 0 before the handshake has agreed on one.
        package let cipherSuite: Int
        /// The host name that the client asked for (SNI).
        package let serverName: String?
    }

    /// Addresses and TLS facts as they were when first asked for; nil once the connection is over unasked.
    package var info: Info? {
        if let cachedInfo { return cachedInfo }
        guard let quic else { return nil }
        let info = Info(
            local: quic.local,
            remote: quic.remote,
            cipherSuite: quic.tls.cipherSuite ?? 0,
            serverName: quic.tls.serverName
        )
        if info.cipherSuite != 0 { cachedInfo = info }
        return info
    }
}
