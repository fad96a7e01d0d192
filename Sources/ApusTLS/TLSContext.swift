import COpenSSL

/// What all sessions of a listener (or of a client) share: certificate, key, and what may be agreed on.
///
/// Nothing changes after `init`, and OpenSSL counts references to its context atomically: sessions on any thread may
/// share one. That is what `@unchecked Sendable` stands on.
package final class TLSContext: @unchecked Sendable {
    /// Bytes of a certificate chain that a peer may send.
    package static let maxPeerChainSize = 64 * 1024

    /// AES-128 first: as safe here, and the cheapest where the processor knows AES. Only forward-secret AEAD suites,
    /// which are also those that HTTP/2 allows (RFC 9113 §9.2.2).
    private static let suites12 = "ECDHE+AESGCM+AES128:ECDHE+CHACHA20:ECDHE+AESGCM"
    private static let suites13 = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
    private static let groups = "X25519:P-256:P-384"

    package let role: TLSConfiguration.Role
    /// The library's context; sessions are made from it.
    let handle: OpaquePointer
    /// Read by the library's callback as long as a session lives; sessions keep this object.
    private let alpn: ALPNList
    /// Likewise.
    private let ticketKeys: TicketKeys?

    /// Reads the files and checks that they belong together.
    ///
    /// - Parameter tickets: server: whoever has the same secret resumes the sessions of the others; nil: only this
    ///   context's own are resumed.
    /// - Throws: `TLSError.configuration` with one sentence for the operator.
    package convenience init(configuration: TLSConfiguration, tickets: TicketSecret? = nil) throws(TLSError) {
        let keys = tickets.map { TicketKeys($0, clock: TicketKeys.wallClock) }
        try self.init(configuration: configuration, ticketKeys: keys)
    }

    init(configuration: TLSConfiguration, ticketKeys: TicketKeys?) throws(TLSError) {
        role = configuration.role
        alpn = ALPNList(configuration.applicationProtocols)
        self.ticketKeys = ticketKeys
        OpenSSLErrors.clear()
        guard let handle = SSL_CTX_new(role == .server ? TLS_server_method() : TLS_client_method()) else {
            throw .internalFailure(OpenSSLErrors.takeText())
        }
        self.handle = handle
        try applyRules(configuration)
        try applyALPN(configuration)
        if let identity = configuration.identity {
            try use(identity)
        } else if role == .server {
            throw .configuration("A TLS server needs a certificate")
        }
        try applyVerification(configuration)
    }

    deinit {
        SSL_CTX_free(handle)
    }

    private func applyRules(_ configuration: TLSConfiguration) throws(TLSError) {
        try check(apus_ssl_ctx_set_min_version(handle, Int32(configuration.minimumVersion.rawValue)))
        try check(apus_ssl_ctx_set_max_version(handle, Int32(configuration.maximumVersion.rawValue)))
        try check(SSL_CTX_set_cipher_list(handle, Self.suites12))
        try check(SSL_CTX_set_ciphersuites(handle, Self.suites13))
        try check(apus_ssl_ctx_set_groups(handle, Self.groups))
        apus_ssl_ctx_refuse_renegotiation_and_compression(handle)
        apus_ssl_ctx_release_idle_buffers(handle)
        apus_ssl_ctx_set_max_certificate_list(handle, Self.maxPeerChainSize)
        // Sessions are resumed by tickets, which the client keeps: no cache to fill, or to lock. One ticket, not the
        // library's two, is enough for clients that reuse connections.
        apus_ssl_ctx_disable_session_cache(handle)
        if role == .server {
            apus_ssl_ctx_prefer_server_ciphers(handle)
            try check(SSL_CTX_set_num_tickets(handle, 1))
            if let ticketKeys { try check(ticketKeys.install(in: handle)) }
        }
    }

    private func applyALPN(_ configuration: TLSConfiguration) throws(TLSError) {
        guard alpn.bytes.count > 0 else { return }
        if role == .client {
            // The odd one out: 0 is success.
            let code = SSL_CTX_set_alpn_protos(handle, alpn.bytes.baseAddress, UInt32(alpn.bytes.count))
            try check(code == 0 ? 1 : 0)
            return
        }
        // Unretained: sessions keep this object, which keeps the list.
        SSL_CTX_set_alpn_select_cb(handle, selectProtocol, Unmanaged.passUnretained(alpn).toOpaque())
    }

    private func applyVerification(_ configuration: TLSConfiguration) throws(TLSError) {
        guard configuration.peerVerification != .off else { return }
        let required = configuration.peerVerification == .required
        SSL_CTX_set_verify(handle, SSL_VERIFY_PEER | (required ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), nil)
        guard let file = configuration.trustFile else {
            try check(SSL_CTX_set_default_verify_paths(handle))
            return
        }
        // Read by us first: the library's own message does not say what is wrong with the file.
        let roots = try PEMFile(path: file, meaning: "trust file").certificates()
        for root in roots {
            try check(X509_STORE_add_cert(SSL_CTX_get_cert_store(handle), root.handle))
            if role == .server { try check(SSL_CTX_add_client_CA(handle, root.handle)) }
        }
        if role == .server {
            // A server that verifies must name its sessions, or the library refuses to resume them.
            try check(SSL_CTX_set_session_id_context(handle, "apus", 4))
        }
    }

    /// For calls that fail only if memory ran out, or if the library was built without what we ask for.
    func check(_ code: Int32) throws(TLSError) {
        guard code == 1 else { throw .internalFailure(OpenSSLErrors.takeText()) }
    }
}

/// The protocols of ALPN as they go over the wire, each with its length before it (RFC 7301 §3.1).
private final class ALPNList: Sendable {
    /// Written in `init` only.
    nonisolated(unsafe) let bytes: UnsafeMutableBufferPointer<UInt8>

    init(_ protocols: [ApplicationProtocol]) {
        let wire = protocols.flatMap { [UInt8($0.rawValue.utf8.count)] + Array($0.rawValue.utf8) }
        bytes = .allocate(capacity: wire.count)
        _ = bytes.initialize(from: wire)
    }

    deinit {
        bytes.deallocate()
    }
}

/// Picks the first of the server's protocols that the client offers.
private func selectProtocol(
    ssl: OpaquePointer?,
    chosen: UnsafeMutablePointer<UnsafePointer<UInt8>?>?,
    chosenCount: UnsafeMutablePointer<UInt8>?,
    offered: UnsafePointer<UInt8>?,
    offeredCount: UInt32,
    list: UnsafeMutableRawPointer?
) -> Int32 {
    guard let chosen, let list else { return SSL_TLSEXT_ERR_ALERT_FATAL }
    let ours = Unmanaged<ALPNList>.fromOpaque(list).takeUnretainedValue().bytes
    var selection: UnsafeMutablePointer<UInt8>?
    let result = SSL_select_next_proto(
        &selection,
        chosenCount,
        ours.baseAddress,
        UInt32(ours.count),
        offered,
        offeredCount
    )
    // RFC 7301 §3.2: no overlap → the fatal alert no_application_protocol.
    guard result == OPENSSL_NPN_NEGOTIATED else { return SSL_TLSEXT_ERR_ALERT_FATAL }
    chosen.pointee = UnsafePointer(selection)
    return SSL_TLSEXT_ERR_OK
}
