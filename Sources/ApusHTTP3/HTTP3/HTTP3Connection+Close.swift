import ApusHTTP
import CNghttp3
import CNgtcp2

/// How a connection ends, in order or not (RFC 9000 §10, RFC 9114 §5).
extension HTTP3Connection {
    // MARK: Shutdown

    /// Begins the graceful end: no request that is under way is lost, and the client learns which were not taken.
    package func shutdown(now: Instant) {
        guard let quic, case .none = shutdownStep else { return }
        let now = advance(to: now)
        isExhausted = false
        guard let http = sink.pointee.http, ngtcp2_conn_get_handshake_completed(quic.handle) != 0 else {
            // The client's first requests come with the end of the handshake: they are served.
            shutdownStep = .shakingHands(until: now + .seconds(HTTP3Constants.handshakeGrace))
            endpoint.schedule(self)
            return
        }
        // RFC 9114 §5.2: first an ID that refuses nothing, and the real one when the notice has arrived.
        nghttp3_conn_submit_shutdown_notice(http)
        if openStreams > 0 { lingers = true }
        let roundTrips = TimeSpan(nanoseconds: ngtcp2_conn_get_pto(quic.handle))
        let wait = max(.seconds(HTTP3Constants.noticePeriod), roundTrips)
        shutdownStep = .noticed(next: now + min(wait, .seconds(HTTP3Constants.longestNotice)))
        endpoint.touch(self)
        endpoint.schedule(self)
    }

    /// Ends the connection at once; requests under way are lost.
    package func closeNow(now: Instant) {
        _ = advance(to: now)
        close(code: UInt64(NGHTTP3_H3_NO_ERROR), nil)
    }

    func continueShutdown(now: Instant) {
        if case .noticed(let next) = shutdownStep, next <= now, let http = sink.pointee.http {
            shutdownStep = .refusing
            nghttp3_conn_shutdown(http)
        }
        switch shutdownStep {
        case .shakingHands(let until) where until <= now:
            close(code: UInt64(NGHTTP3_H3_NO_ERROR), nil)
        case .lingering(let until) where until <= now:
            lingerOn(now)
        default:
            break
        }
        closeIfDrained(now: now)
    }

    /// Closes once the last request is answered and all of the answer has been sent.
    ///
    /// Part of it may be lost on its way, and a client may have acknowledged what its application has not read yet. A
    /// close would take that away: the client gets time to ask again, to read, and to close by itself.
    func closeIfDrained(now: Instant) {
        guard case .refusing = shutdownStep, let http = sink.pointee.http else { return }
        guard nghttp3_conn_is_drained(http) != 0 || hasSaidEverything else { return }
        guard lingers else {
            close(code: UInt64(NGHTTP3_H3_NO_ERROR), nil)
            return
        }
        shutdownStep = .lingering(until: now + .seconds(limits.lingerTimeout))
        endpoint.schedule(self)
    }

    /// Whether every stream waits for nothing but the client's acknowledgements, which may never come: a client that is
    /// gone must not hold the shutdown for the idle timeout.
    private var hasSaidEverything: Bool {
        let streams = sink.pointee.streams.all
        return !streams.isEmpty
            && streams.allSatisfy {
                let hasSpoken = $0.pointee.applicationEnded && ($0.pointee.finSent || $0.pointee.wasReset)
                return $0.pointee.isClosed || hasSpoken && ($0.pointee.requestEnded || $0.pointee.stoppedAt != nil)
            }
    }

    /// A client that has still to acknowledge something and is heard of is waited for; one that is silent is not.
    private func lingerOn(_ now: Instant) {
        guard let quic, let http = sink.pointee.http else { return }
        // Whoever is there answers a probe sooner than that (RFC 9002 §6.2).
        let until = heard + max(.seconds(limits.lingerTimeout), quic.closingPeriod)
        guard nghttp3_conn_is_drained(http) == 0, until > now else {
            close(code: UInt64(NGHTTP3_H3_NO_ERROR), nil)
            return
        }
        shutdownStep = .lingering(until: until)
        endpoint.schedule(self)
    }

    // MARK: Close

    /// Ends the connection for what a call of ngtcp2's returned.
    func fail(_ status: Int32, now: Instant) {
        guard quic != nil else { return }
        switch status {
        case NGTCP2_ERR_DRAINING:
            endDrained(now)
        case NGTCP2_ERR_IDLE_CLOSE:
            // A connection without requests ends so every day.
            let error = hasUnfinishedStreams ? ConnectionError(.timeout, "the client fell silent in a request") : nil
            end(packet: [], period: nil, error, now)
        case NGTCP2_ERR_DROP_CONN, NGTCP2_ERR_RETRY:
            end(packet: [], period: nil, ConnectionError(.protocolViolation, "the handshake was no QUIC"), now)
        default:
            closeForError(status, now)
        }
    }

    /// Ends the connection with an HTTP/3 error code.
    func close(code: UInt64, _ error: ConnectionError?) {
        guard quic != nil else { return }
        var reason = ngtcp2_ccerr()
        ngtcp2_ccerr_set_application_error(&reason, code, nil, 0)
        sendClose(&reason, error, latest)
    }

    private func closeForError(_ status: Int32, _ now: Instant) {
        guard let quic else { return }
        var reason = ngtcp2_ccerr()
        let error: ConnectionError
        if let code = sink.pointee.applicationError {
            ngtcp2_ccerr_set_application_error(&reason, code, nil, 0)
            error = ConnectionError(.protocolViolation, "HTTP/3 error 0x\(String(code, radix: 16))")
        } else if status == NGTCP2_ERR_CRYPTO {
            let alert = ngtcp2_conn_get_tls_alert(quic.handle)
            ngtcp2_ccerr_set_tls_alert(&reason, alert, nil, 0)
            error = ConnectionError(.protocolViolation, "the TLS handshake failed with alert \(alert)")
        } else {
            ngtcp2_ccerr_set_liberr(&reason, status, nil, 0)
            let kind: ConnectionError.Kind = status == NGTCP2_ERR_HANDSHAKE_TIMEOUT ? .timeout : .protocolViolation
            error = ConnectionError(kind, "QUIC: \(String(cString: ngtcp2_strerror(status)))")
        }
        sendClose(&reason, error, now)
    }

    private func sendClose(_ reason: inout ngtcp2_ccerr, _ error: ConnectionError?, _ now: Instant) {
        guard let quic else { return }
        let packet = quic.closePacket(&reason, now: now)
        end(packet: packet, period: quic.closingPeriod, error, now)
    }

    /// RFC 9000 §10.2.2: the peer has closed; we say nothing more, and its late packets are recognised for a while.
    private func endDrained(_ now: Instant) {
        guard let quic else { return }
        let peer = ngtcp2_conn_get_ccerr(quic.handle)?.pointee
        // Some clients end an HTTP/3 connection with QUIC's own NO_ERROR, which is 0, in an application's close.
        let isOrderly = peer.map { $0.error_code == 0 || $0.error_code == UInt64(NGHTTP3_H3_NO_ERROR) } ?? false
        let code = String(peer?.error_code ?? 0, radix: 16)
        let error = isOrderly ? nil : ConnectionError(.peerGone, "the client closed with error 0x\(code)")
        end(packet: [], period: quic.closingPeriod, error, now)
    }

    /// Frees everything but the last events, and leaves the rest to the endpoint.
    private func end(packet: [UInt8], period: TimeSpan?, _ error: ConnectionError?, _ now: Instant) {
        guard let quic else { return }
        let addresses = (local: quic.local, remote: quic.remote)
        settle()
        disposition = error == nil ? .close : .abort
        connectionError = error
        freeLibraries()
        sink.pointee.records = []
        sink.pointee.arena = []
        heldTrains = []
        pendingFins = []
        loseStreams()
        endpoint.connectionEnded(self, packet: packet, addresses, until: period.map { now + $0 })
    }

    /// Whether an application is in the middle of a request.
    private var hasUnfinishedStreams: Bool {
        sink.pointee.streams.all.contains { hears($0) && $0.pointee.isUnfinished }
    }

    /// Tells every application that still waits that its client is gone.
    private func loseStreams() {
        for stream in sink.pointee.streams.all {
            // An application whose response was on its way to the end has nothing to lose.
            if stream.pointee.isUnfinished { deliverReset(stream, .connectionLost) }
            stream.pointee.isClosed = true
            stream.pointee.body.removeAll()
            if !stream.pointee.isDelivered { stream.pointee.applicationEnded = true }
            releaseIfOver(stream)
        }
    }
}
