import COpenSSL

/// What the handshake has agreed on; meaningful once it is complete.
extension TLSSession {
    /// What ALPN agreed on; nil: the client offered nothing, and HTTP/1.1 is implied.
    package var negotiatedProtocol: ApplicationProtocol? {
        var name: UnsafePointer<UInt8>?
        var count: UInt32 = 0
        SSL_get0_alpn_selected(handle, &name, &count)
        guard let name else { return nil }
        let bytes = UnsafeBufferPointer(start: name, count: Int(count))
        return ApplicationProtocol(rawValue: String(decoding: bytes, as: UTF8.self))
    }

    /// The version on the wire: 0x0303 is TLS 1.2, 0x0304 is TLS 1.3.
    package var version: UInt16 { UInt16(truncatingIfNeeded: SSL_version(handle)) }

    /// The cipher suite's IANA number, e.g. 0x1301; 0 before one is agreed on.
    package var cipherSuite: UInt16 {
        guard let cipher = SSL_get_current_cipher(handle) else { return 0 }
        return SSL_CIPHER_get_protocol_id(cipher)
    }

    /// The host name that the client asked for (RFC 6066 §3).
    package var serverName: String? {
        guard let name = SSL_get_servername(handle, TLSEXT_NAMETYPE_host_name) else { return nil }
        return String(cString: name)
    }

    /// Whether an earlier session was resumed instead of a full handshake.
    package var wasResumed: Bool { SSL_session_reused(handle) == 1 }

    /// The peer's certificates in DER form, its own first; empty if it has shown none.
    package var peerCertificateChain: [[UInt8]] {
        guard let leaf = SSL_get0_peer_certificate(handle) else { return [] }
        var chain = [Self.encoded(leaf)]
        // The library lists the peer's own certificate only on the client's side, and nothing in a resumed session.
        let list = SSL_get_peer_cert_chain(handle)
        for index in 0..<apus_x509_count(list) {
            guard let certificate = apus_x509_at(list, index), X509_cmp(certificate, leaf) != 0 else { continue }
            chain.append(Self.encoded(certificate))
        }
        return chain
    }

    /// Client: what makes the next session with this server cheaper, once the server has sent a ticket; in TLS 1.3
    /// that is after the handshake.
    package var resumption: TLSResumption? {
        guard let session = SSL_get1_session(handle) else { return nil }
        guard SSL_SESSION_is_resumable(session) == 1 else {
            SSL_SESSION_free(session)
            return nil
        }
        return TLSResumption(owning: session)
    }

    private static func encoded(_ certificate: OpaquePointer) -> [UInt8] {
        let size = Int(i2d_X509(certificate, nil))
        guard size > 0 else { return [] }
        return [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
            var next = buffer.baseAddress
            count = max(0, Int(i2d_X509(certificate, &next)))
        }
    }
}
