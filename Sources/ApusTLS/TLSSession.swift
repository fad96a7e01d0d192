import COpenSSL
import Glibc

/// One TLS connection without its socket: ciphertext and plaintext go in and come out as memory.
///
/// ```
/// handshaking ──▶ open ──▶ (close_notify in either direction, independently)
///      └────────────┴────▶ failed: nothing more goes in or out but what is pending
/// ```
/// Confined to the thread of its connection. Whatever a call makes due (handshake, records, alerts) waits in
/// ``pendingOutput``, also when the call throws.
package final class TLSSession {
    /// What ``receive(_:into:)`` needs beyond the size of its input: a record that had come in part (RFC 8446 §5.2).
    package static let receiveHeadroom = 17 * 1024
    /// The plaintext of a full record (RFC 8446 §5.1).
    package static let maxRecordPlaintext = 16 * 1024
    /// The most that the library adds to a record: header, explicit nonce, content type, tag.
    private static let recordOverhead = 32
    /// Output that a peer may cause after the handshake, over a session's life, by asking for new keys.
    package static let maxKeyUpdateOutput = 16 * 1024

    private enum State {
        case handshaking
        case open
        case failed
    }

    /// Kept because the library's callbacks use what it owns.
    let context: TLSContext
    /// The library's session.
    let handle: OpaquePointer
    /// In an allocation of its own: the library's callbacks reach only this.
    let wire: UnsafeMutablePointer<TLSWire>
    private var state = State.handshaking
    /// How the connection began, for telling HTTP in clear from garbage.
    private var opening = Opening()
    /// What the peer has made us say since the handshake.
    private var keyUpdateOutput = 0
    private var sentCloseNotify = false
    /// Whether the peer has said that nothing more follows. An end of the connection without it is a truncation.
    package private(set) var receivedCloseNotify = false

    /// A session in the context's role. A client's first flight is pending at once.
    ///
    /// - Parameters:
    ///   - serverName: client: whom to ask for and, if the context verifies, who must answer; a host name or an address.
    ///   - resumption: client: what an earlier session with the same server left.
    package init(
        context: TLSContext,
        serverName: String? = nil,
        resuming resumption: TLSResumption? = nil
    ) throws(TLSError) {
        OpenSSLErrors.clear()
        guard let handle = SSL_new(context.handle) else { throw .internalFailure(OpenSSLErrors.takeText()) }
        self.context = context
        self.handle = handle
        wire = .allocate(capacity: 1)
        wire.initialize(to: TLSWire())
        guard let bio = TLSWire.makeBIO(over: wire) else { throw .internalFailure(OpenSSLErrors.takeText()) }
        // Both directions share the BIO; the session owns it from here on.
        SSL_set_bio(handle, bio, bio)
        switch context.role {
        case .server:
            SSL_set_accept_state(handle)
        case .client:
            SSL_set_connect_state(handle)
            if let serverName { try ask(for: serverName) }
            if let resumption { SSL_set_session(handle, resumption.handle) }
            _ = try handshake()
        }
    }

    deinit {
        // First the session, which owns the BIO; then what the BIO points at.
        SSL_free(handle)
        wire.pointee.deallocate()
        wire.deinitialize(count: 1)
        wire.deallocate()
    }

    private func ask(for serverName: String) throws(TLSError) {
        // An address is never sent as a server name (RFC 6066 §3), but a certificate can have it.
        if X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(handle), serverName) == 1 { return }
        OpenSSLErrors.clear()
        guard SSL_set1_host(handle, serverName) == 1, apus_ssl_set_server_name(handle, serverName) == 1 else {
            throw .configuration("\(serverName) cannot be a server's name: \(OpenSSLErrors.takeText())")
        }
    }

    // MARK: Input

    /// Whether both sides have proved themselves and application data may flow.
    package var isHandshakeComplete: Bool { state == .open }

    /// Takes all of what the peer has sent, and gives the plaintext that it contained.
    ///
    /// What follows the peer's close_notify is ignored (RFC 8446 §6.1).
    ///
    /// - Parameters:
    ///   - ciphertext: used only during the call.
    ///   - plaintext: at least ``receiveHeadroom`` larger than `ciphertext`, so that everything fits.
    /// - Returns: how many bytes of `plaintext` are filled.
    /// - Throws: what ends the connection; plaintext from before the error is lost with it.
    package func receive(
        _ ciphertext: UnsafeRawBufferPointer,
        into plaintext: UnsafeMutableRawBufferPointer
    ) throws(TLSError) -> Int {
        precondition(plaintext.count >= ciphertext.count + Self.receiveHeadroom, "there is room for all plaintext")
        guard state != .failed else { throw .ended }
        guard !receivedCloseNotify else { return 0 }
        wire.pointee.lend(ciphertext)
        defer { wire.pointee.endLoan() }
        if state == .handshaking {
            opening.note(ciphertext)
            guard try handshake() else { return 0 }
        }
        return try decrypt(into: plaintext)
    }

    /// Goes on with the handshake as far as the input allows; true: it is complete.
    private func handshake() throws(TLSError) -> Bool {
        OpenSSLErrors.clear()
        let code = SSL_do_handshake(handle)
        if code == 1 {
            state = .open
            return true
        }
        guard SSL_get_error(handle, code) == SSL_ERROR_WANT_READ else { throw fail() }
        return false
    }

    private func decrypt(into plaintext: UnsafeMutableRawBufferPointer) throws(TLSError) -> Int {
        let pendingBefore = wire.pointee.pendingCount
        var filled = 0
        repeat {
            let room = UnsafeMutableRawBufferPointer(rebasing: plaintext[filled...])
            var count = 0
            OpenSSLErrors.clear()
            let code = SSL_read_ex(handle, room.baseAddress, room.count, &count)
            guard code == 1 else {
                try classifyReadEnd(code)
                break
            }
            filled += count
            // Asking again when nothing is left would only cost the way through the library's error queue.
        } while wire.pointee.input.count > 0 || SSL_pending(handle) > 0
        try checkAnswers(wire.pointee.pendingCount - pendingBefore)
        return filled
    }

    private func classifyReadEnd(_ code: Int32) throws(TLSError) {
        switch SSL_get_error(handle, code) {
        case SSL_ERROR_WANT_READ: break
        case SSL_ERROR_ZERO_RETURN: receivedCloseNotify = true
        default: throw fail()
        }
    }

    /// What the library answers by itself after the handshake: new keys in TLS 1.3; in TLS 1.2 it can only be the
    /// refusal of a renegotiation, which ends the connection (RFC 9113 §9.2.1).
    private func checkAnswers(_ count: Int) throws(TLSError) {
        guard count > 0 else { return }
        keyUpdateOutput += count
        guard version == TLSVersion.tls13.rawValue else {
            state = .failed
            throw .protocolViolation("the peer asked for a renegotiation")
        }
        guard keyUpdateOutput <= Self.maxKeyUpdateOutput else {
            state = .failed
            throw .protocolViolation("the peer asked for new keys too often")
        }
    }

    // MARK: Output

    /// Encrypts all of this, in records as large as possible.
    package func write(_ plaintext: UnsafeRawBufferPointer) throws(TLSError) {
        guard state == .open, !sentCloseNotify else { throw .ended }
        guard plaintext.count > 0 else { return }
        let records = plaintext.count / Self.maxRecordPlaintext + 1
        guard wire.pointee.reserve(plaintext.count + records * Self.recordOverhead) else {
            throw .internalFailure("out of memory")
        }
        var written = 0
        OpenSSLErrors.clear()
        // The wire takes everything: one call is enough.
        guard SSL_write_ex(handle, plaintext.baseAddress, plaintext.count, &written) == 1 else { throw fail() }
    }

    /// Encrypts all of these pieces in order; small ones share a record.
    ///
    /// - Returns: how many bytes that were.
    @discardableResult
    package func write(_ pieces: UnsafeBufferPointer<iovec>) throws(TLSError) -> Int {
        let total = pieces.reduce(0) { $0 + $1.iov_len }
        if pieces.count == 1 {
            try write(UnsafeRawBufferPointer(start: pieces[0].iov_base, count: total))
            return total
        }
        let capacity = min(total, Self.maxRecordPlaintext)
        var failure: TLSError?
        withUnsafeTemporaryAllocation(byteCount: capacity, alignment: 16) { scratch in
            do throws(TLSError) {
                try write(pieces, gatheringIn: scratch)
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
        return total
    }

    private func write(
        _ pieces: UnsafeBufferPointer<iovec>,
        gatheringIn scratch: UnsafeMutableRawBufferPointer
    ) throws(TLSError) {
        var gathered = 0
        for piece in pieces {
            var rest = UnsafeRawBufferPointer(start: piece.iov_base, count: piece.iov_len)
            while rest.count > 0 {
                if gathered == 0, rest.count >= Self.maxRecordPlaintext {
                    // Whole records need no copy.
                    let whole = rest.count - rest.count % Self.maxRecordPlaintext
                    try write(UnsafeRawBufferPointer(rebasing: rest[..<whole]))
                    rest = UnsafeRawBufferPointer(rebasing: rest[whole...])
                    continue
                }
                let taken = min(rest.count, scratch.count - gathered)
                let room = UnsafeMutableRawBufferPointer(rebasing: scratch[gathered..<gathered + taken])
                room.copyMemory(from: UnsafeRawBufferPointer(rebasing: rest[..<taken]))
                rest = UnsafeRawBufferPointer(rebasing: rest[taken...])
                gathered += taken
                guard gathered == scratch.count else { continue }
                try write(UnsafeRawBufferPointer(scratch))
                gathered = 0
            }
        }
        try write(UnsafeRawBufferPointer(rebasing: scratch[..<gathered]))
    }

    /// Queues close_notify: nothing more follows from this side. The peer's data is still received.
    package func close() {
        guard state == .open, !sentCloseNotify else { return }
        sentCloseNotify = true
        OpenSSLErrors.clear()
        // 0 and 1 are both success here; it fails only for want of memory, and then the end is unclean as it should be.
        SSL_shutdown(handle)
        OpenSSLErrors.clear()
    }

    /// Whether ciphertext waits to be sent.
    package var hasOutput: Bool { wire.pointee.pendingCount > 0 }

    /// The ciphertext that waits to be sent; valid until the next call of this session.
    package var pendingOutput: UnsafeRawBufferPointer { wire.pointee.pending }

    /// Drops sent ciphertext from the front of ``pendingOutput``.
    package func consumeOutput(_ count: Int) {
        wire.pointee.consume(count)
    }

    // MARK: Failure

    /// Turns what the library has just said into an error; the session is over.
    private func fail() -> TLSError {
        let isHandshake = state == .handshaking
        state = .failed
        let code = OpenSSLErrors.take()
        if isHandshake, opening.isHTTP {
            wire.pointee.removeAll()
            return .plaintextHTTP
        }
        if code == 0, SSL_get_shutdown(handle) & SSL_RECEIVED_SHUTDOWN != 0 {
            // Not an error to the library, but nothing was agreed on yet.
            receivedCloseNotify = true
            return .peerAlert(code: UInt8(SSL_AD_CLOSE_NOTIFY), name: "close notify")
        }
        let reason = Int(ERR_GET_REASON(code))
        if ERR_GET_LIB(code) == ERR_LIB_SSL, let alert = UInt8(exactly: reason - Int(SSL_AD_REASON_OFFSET)) {
            return .peerAlert(code: alert, name: String(cString: SSL_alert_desc_string_long(Int32(alert))))
        }
        if code == 0 || ERR_FATAL_ERROR(code) != 0 { return .internalFailure(OpenSSLErrors.text(code)) }
        let verification = SSL_get_verify_result(handle)
        if reason == SSL_R_CERTIFICATE_VERIFY_FAILED, verification != Int(X509_V_OK) {
            return .protocolViolation(
                "the peer's certificate is refused: \(String(cString: X509_verify_cert_error_string(verification)))"
            )
        }
        return .protocolViolation(OpenSSLErrors.text(code))
    }
}
