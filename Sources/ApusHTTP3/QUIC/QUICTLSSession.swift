import CGnuTLS
import CNgtcp2

/// One connection's TLS 1.3 state: GnuTLS behind the calls of ngtcp2's crypto library.
final class QUICTLSSession {
    let handle: gnutls_session_t
    /// GnuTLS reaches the connection through this block: it needs an address that stays.
    private let reference: UnsafeMutablePointer<ngtcp2_crypto_conn_ref>
    private let credentials: QUICServerCredentials

    /// A server's session; nil where memory or the library says no.
    ///
    /// - Parameter sink: Where GnuTLS's callbacks find the connection; must outlive the session.
    init?(credentials: QUICServerCredentials, sink: UnsafeMutablePointer<ConnectionSink>) {
        var session: gnutls_session_t?
        let flags = UInt32(GNUTLS_SERVER.rawValue) | Self.sessionFlags
        guard gnutls_init(&session, flags) == 0, let session else { return nil }
        handle = session
        self.credentials = credentials
        reference = .allocate(capacity: 1)
        reference.initialize(
            to: ngtcp2_crypto_conn_ref(
                get_conn: { $0?.pointee.user_data.assumingMemoryBound(to: ConnectionSink.self).pointee.quic },
                user_data: sink
            )
        )
        guard configure() else { return nil }
    }

    deinit {
        gnutls_deinit(handle)
        reference.deinitialize(count: 1)
        reference.deallocate()
    }

    private static var sessionFlags: UInt32 {
        UInt32(GNUTLS_NO_AUTO_SEND_TICKET.rawValue) | UInt32(GNUTLS_NO_END_OF_EARLY_DATA.rawValue)
    }

    private func configure() -> Bool {
        guard gnutls_priority_set(handle, credentials.priority) == 0, enableTickets(),
            ngtcp2_crypto_gnutls_configure_server_session(handle) == 0
        else { return false }
        gnutls_session_set_ptr(handle, reference)
        guard
            gnutls_credentials_set(handle, GNUTLS_CRD_CERTIFICATE, UnsafeMutableRawPointer(credentials.certificate))
                == 0
        else { return false }
        // Bounds the handshake message that GnuTLS gathers.
        gnutls_handshake_set_max_packet_length(handle, 65536)
        return offerHTTP3()
    }

    private func enableTickets() -> Bool {
        var key = credentials.ticketKey
        return key.withUnsafeMutableBufferPointer { key in
            var datum = gnutls_datum_t(data: key.baseAddress, size: UInt32(key.count))
            return gnutls_session_ticket_enable_server(handle, &datum) == 0
        }
    }

    /// RFC 9001 §8.1: without a common protocol the handshake ends in no_application_protocol.
    private func offerHTTP3() -> Bool {
        var name: (UInt8, UInt8) = (UInt8(ascii: "h"), UInt8(ascii: "3"))
        return withUnsafeMutableBytes(of: &name) { bytes in
            var datum = gnutls_datum_t(data: bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), size: 2)
            let flags = UInt32(GNUTLS_ALPN_MANDATORY.rawValue) | UInt32(GNUTLS_ALPN_SERVER_PRECEDENCE.rawValue)
            return gnutls_alpn_set_protocols(handle, &datum, 1, flags) == 0
        }
    }

    /// Sends the client a ticket with which it can resume.
    func sendTicket() {
        // Without a ticket the next handshake is a full one: nothing to act on.
        _ = gnutls_session_ticket_send(handle, 1, 0)
    }

    /// The IANA number of the cipher suite; nil before it is agreed on.
    var cipherSuite: Int? {
        switch gnutls_cipher_get(handle) {
        case GNUTLS_CIPHER_AES_128_GCM: 0x1301
        case GNUTLS_CIPHER_AES_256_GCM: 0x1302
        case GNUTLS_CIPHER_CHACHA20_POLY1305: 0x1303
        default: nil
        }
    }

    /// The host name that the client asked for.
    var serverName: String? {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 256) { buffer in
            var length = buffer.count
            var kind: UInt32 = 0
            guard gnutls_server_name_get(handle, buffer.baseAddress, &length, &kind, 0) == 0, length <= buffer.count
            else { return nil }
            // The length may count the terminating zero.
            return String(decoding: buffer[0..<length].prefix { $0 != 0 }, as: UTF8.self)
        }
    }
}
