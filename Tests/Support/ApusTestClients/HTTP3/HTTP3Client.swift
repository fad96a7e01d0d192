import ApusGateway
import ApusHTTP
import CGnuTLS
import CNghttp3
import CNgtcp2

/// An HTTP/3 client on ngtcp2 and nghttp3, without a socket: the peer of the engine in these tests.
package final class HTTP3Client {
    package struct Options {
        package var alpn = "h3"
        package var streamWindow: UInt64
        package var connectionWindow: UInt64
        package var idleTimeout: UInt64
        /// Whether windows are opened as data arrives.
        package var consumes = true
        package var version: UInt32 = 1
        package var serverName = "localhost"
        /// What an earlier connection has kept with ``HTTP3Client/earlyParameters``: with it, early data is tried.
        package var earlyParameters: [UInt8]?
        /// Bytes that make the ClientHello larger, so that it takes a second datagram.
        package var helloPadding = 0
        /// The length of the ID by which the server is first called.
        package var destinationLength = 18
        /// What a NEW_TOKEN frame of an earlier connection has brought; goes with the first packet.
        package var token: [UInt8] = []
        /// What an earlier connection has kept with ``HTTP3Client/session``.
        package var session: [UInt8]?

        package init(
            streamWindow: UInt64 = 256 * 1024,
            connectionWindow: UInt64 = 1024 * 1024,
            idleTimeout: UInt64 = 30_000_000_000
        ) {
            self.streamWindow = streamWindow
            self.connectionWindow = connectionWindow
            self.idleTimeout = idleTimeout
        }
    }

    package struct Response {
        package var informational: [(status: Int, fields: Headers)] = []
        package var status: Int?
        package var fields = Headers()
        package var body: [UInt8] = []
        package var trailers: Headers?
        /// The stream's end has arrived.
        package var ended = false
        /// The peer has reset its half.
        package var resetCode: UInt64?
        /// The stream is closed, with this code.
        package var closeCode: UInt64?
        /// Body bytes for which the window was not opened.
        package var unconsumed = 0
    }

    package private(set) var quic: OpaquePointer?
    package private(set) var http: OpaquePointer?
    private(set) var tls: gnutls_session_t?
    private var credentials: gnutls_certificate_credentials_t?
    private let reference: UnsafeMutablePointer<ngtcp2_crypto_conn_ref>
    package internal(set) var local: SocketAddress
    package let remote: SocketAddress
    package let options: Options

    package var responses: [Int64: Response] = [:]
    package var uploads: [Int64: Upload] = [:]
    /// Bodies must stay where they are until they are acknowledged: kept to the end of the test.
    private var kept: [UnsafeMutableBufferPointer<UInt8>] = []
    /// Requests so far; each has a stream of its own.
    var requests = 0
    /// Bytes that go past nghttp3.
    var raw: [Raw] = []
    /// Requests that nghttp3 does not know of; what comes back on them is not looked at.
    var rawStreams: Set<Int64> = []
    package internal(set) var goaways: [Int64] = []
    package internal(set) var handshakeCompleted = false
    package internal(set) var handshakeConfirmed = false
    /// What ended the connection, as ngtcp2 says it.
    package internal(set) var failure: Int32 = 0
    package internal(set) var receivedVersionNegotiation = false
    package internal(set) var receivedStatelessReset = false
    /// Retry packets that were answered.
    package internal(set) var retries = 0
    package internal(set) var earlyDataWasRejected = false
    /// What NEW_TOKEN frames have brought.
    package internal(set) var newTokens: [[UInt8]] = []
    /// Requests that wait for the handshake.
    var waiting: [() -> Void] = []
    package internal(set) var maxStreams: UInt64 = 0
    /// The first bytes of the server's unidirectional streams, for what nghttp3 does not tell.
    var serverStreams: [Int64: [UInt8]] = [:]
    /// Streams that nobody reads: their windows stay shut until ``consume(_:)``.
    package var unread: Set<Int64> = []

    package var isOver: Bool { failure != 0 }

    /// Whether the server has sent a session ticket.
    package var hasTicket: Bool { gnutls_session_get_flags(tls) & GNUTLS_SFLAGS_SESSION_TICKET.rawValue != 0 }

    /// What a later connection offers in order to resume this one's session; nil before there is a ticket.
    package var session: [UInt8]? {
        // Far more than a session with a small certificate takes.
        var bytes = [UInt8](repeating: 0, count: 16 * 1024)
        var count = bytes.count
        guard hasTicket, gnutls_session_get_data(tls, &bytes, &count) == 0 else { return nil }
        return Array(bytes.prefix(count))
    }

    /// Whether the server has resumed the session that was offered.
    package var wasResumed: Bool { gnutls_session_is_resumed(tls) != 0 }

    package init(local: SocketAddress, remote: SocketAddress, now: Instant, options: Options = Options()) {
        self.local = local
        self.remote = remote
        self.options = options
        reference = .allocate(capacity: 1)
        setUpTLS()
        setUpQUIC(now)
        sendEarlyData()
    }

    deinit {
        if let http { nghttp3_conn_del(http) }
        if let quic { ngtcp2_conn_del(quic) }
        if let tls { gnutls_deinit(tls) }
        if let credentials { gnutls_certificate_free_credentials(credentials) }
        reference.deallocate()
        for memory in kept { memory.deallocate() }
    }

    private var user: UnsafeMutableRawPointer { Unmanaged.passUnretained(self).toOpaque() }

    private func setUpTLS() {
        reference.initialize(
            to: ngtcp2_crypto_conn_ref(
                get_conn: { reference in
                    guard let user = reference?.pointee.user_data else { return nil }
                    return Unmanaged<HTTP3Client>.fromOpaque(user).takeUnretainedValue().quic
                },
                user_data: user
            )
        )
        let early = options.earlyParameters == nil ? 0 : UInt32(GNUTLS_ENABLE_EARLY_DATA.rawValue)
        gnutls_init(&tls, UInt32(GNUTLS_CLIENT.rawValue) | UInt32(GNUTLS_NO_END_OF_EARLY_DATA.rawValue) | early)
        let priority = "NORMAL:-VERS-ALL:+VERS-TLS1.3:%DISABLE_TLS13_COMPAT_MODE"
        gnutls_priority_set_direct(tls, priority, nil)
        gnutls_certificate_allocate_credentials(&credentials)
        gnutls_credentials_set(tls, GNUTLS_CRD_CERTIFICATE, credentials.map { UnsafeMutableRawPointer($0) })
        ngtcp2_crypto_gnutls_configure_client_session(tls)
        gnutls_session_set_ptr(tls, reference)
        gnutls_server_name_set(tls, GNUTLS_NAME_DNS, options.serverName, options.serverName.utf8.count)
        if options.helloPadding > 0 { padHello() }
        var name = Array(options.alpn.utf8)
        name.withUnsafeMutableBufferPointer { name in
            var datum = gnutls_datum_t(data: name.baseAddress, size: UInt32(name.count))
            _ = gnutls_alpn_set_protocols(tls, &datum, 1, 0)
        }
        if let session = options.session { gnutls_session_set_data(tls, session, session.count) }
    }

    /// Adds an extension that no server knows (RFC 8701 reserves its number).
    private func padHello() {
        gnutls_session_ext_register(
            tls,
            "padding",
            0x5a5a,
            GNUTLS_EXT_TLS,
            { _, _, _ in 0 },
            { session, buffer in
                guard
                    let reference = gnutls_session_get_ptr(session)?
                        .assumingMemoryBound(to: ngtcp2_crypto_conn_ref.self),
                    let user = reference.pointee.user_data
                else { return 0 }
                let count = Unmanaged<HTTP3Client>.fromOpaque(user).takeUnretainedValue().options.helloPadding
                let padding = [UInt8](repeating: 0, count: count)
                return gnutls_buffer_append_data(buffer, padding, padding.count)
            },
            nil,
            nil,
            nil,
            UInt32(GNUTLS_EXT_FLAG_TLS.rawValue) | UInt32(GNUTLS_EXT_FLAG_CLIENT_HELLO.rawValue)
        )
    }

    /// The server's certificate.
    package var peerCertificate: [UInt8]? {
        var count: UInt32 = 0
        guard let chain = gnutls_certificate_get_peers(tls, &count), count > 0 else { return nil }
        return Array(UnsafeBufferPointer(start: chain.pointee.data, count: Int(chain.pointee.size)))
    }

    private func setUpQUIC(_ now: Instant) {
        var settings = ngtcp2_settings()
        ngtcp2_settings_default_versioned(NGTCP2_SETTINGS_VERSION, &settings)
        settings.initial_ts = now.nanoseconds
        if !options.token.isEmpty {
            // The library copies it.
            settings.token = UnsafePointer(keep(options.token).baseAddress)
            settings.tokenlen = options.token.count
            settings.token_type = NGTCP2_TOKEN_TYPE_NEW_TOKEN
        }
        var parameters = ngtcp2_transport_params()
        ngtcp2_transport_params_default_versioned(NGTCP2_TRANSPORT_PARAMS_VERSION, &parameters)
        parameters.initial_max_stream_data_bidi_local = options.streamWindow
        parameters.initial_max_stream_data_uni = 64 * 1024
        parameters.initial_max_data = options.connectionWindow
        parameters.initial_max_streams_uni = 3
        parameters.max_idle_timeout = options.idleTimeout
        parameters.active_connection_id_limit = 7
        var destination = randomID(options.destinationLength)
        var source = randomID(17)
        var callbacks = HTTP3ClientCallbacks.quic
        withPath { path in
            _ = ngtcp2_conn_client_new_versioned(
                &quic,
                &destination,
                &source,
                path,
                options.version,
                NGTCP2_CALLBACKS_VERSION,
                &callbacks,
                NGTCP2_SETTINGS_VERSION,
                &settings,
                NGTCP2_TRANSPORT_PARAMS_VERSION,
                &parameters,
                nil,
                user
            )
        }
        ngtcp2_conn_set_tls_native_handle(quic, tls.map { UnsafeMutableRawPointer($0) })
    }

    package func randomID(_ length: Int) -> ngtcp2_cid {
        var identifier = ngtcp2_cid()
        identifier.datalen = length
        withUnsafeMutableBytes(of: &identifier.data) { bytes in
            for index in 0..<length { bytes[index] = UInt8.random(in: 0...255) }
        }
        return identifier
    }

    func withPath(_ body: (UnsafeMutablePointer<ngtcp2_path>) -> Void) {
        var storage = ngtcp2_path_storage()
        local.withSockAddr { localAddress, localLength in
            remote.withSockAddr { remoteAddress, remoteLength in
                withUnsafeMutablePointer(to: &storage) { storage in
                    ngtcp2_path_storage_init(storage, localAddress, localLength, remoteAddress, remoteLength, nil)
                    body(&storage.pointee.path)
                }
            }
        }
    }

    /// Puts bytes where they stay as long as the client lives.
    func keep(_ bytes: [UInt8]) -> UnsafeMutableBufferPointer<UInt8> {
        let memory = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: bytes.count)
        _ = memory.initialize(from: bytes)
        kept.append(memory)
        return memory
    }

    // MARK: HTTP/3

    func beginHTTP3() -> Int32 {
        guard http == nil else { return 0 }
        settleEarlyData()
        var settings = nghttp3_settings()
        nghttp3_settings_default_versioned(NGHTTP3_SETTINGS_VERSION, &settings)
        settings.qpack_max_dtable_capacity = 4096
        settings.qpack_blocked_streams = 100
        var callbacks = HTTP3ClientCallbacks.http
        nghttp3_conn_client_new_versioned(
            &http,
            NGHTTP3_CALLBACKS_VERSION,
            &callbacks,
            NGHTTP3_SETTINGS_VERSION,
            &settings,
            nil,
            user
        )
        var ids: [Int64] = [-1, -1, -1]
        for index in ids.indices {
            guard ngtcp2_conn_open_uni_stream(quic, &ids[index], nil) == 0 else { return NGTCP2_ERR_CALLBACK_FAILURE }
        }
        nghttp3_conn_bind_control_stream(http, ids[0])
        nghttp3_conn_bind_qpack_streams(http, ids[1], ids[2])
        return 0
    }

    func receiveStream(_ id: Int64, _ data: UnsafeBufferPointer<UInt8>, fin: Bool) -> Int32 {
        guard !rawStreams.contains(id) else { return 0 }
        if id & 3 == 3 { serverStreams[id, default: []] += data.prefix(256) }
        let count = nghttp3_conn_read_stream(http, id, data.baseAddress, data.count, fin ? 1 : 0)
        guard count >= 0 else { return NGTCP2_ERR_CALLBACK_FAILURE }
        ngtcp2_conn_extend_max_stream_offset(quic, id, UInt64(count))
        ngtcp2_conn_extend_max_offset(quic, UInt64(count))
        return 0
    }

    func receiveBody(_ id: Int64, _ data: UnsafeBufferPointer<UInt8>) {
        responses[id]?.body.append(contentsOf: data)
        if options.consumes, !unread.contains(id) {
            ngtcp2_conn_extend_max_stream_offset(quic, id, UInt64(data.count))
            ngtcp2_conn_extend_max_offset(quic, UInt64(data.count))
        } else {
            responses[id]?.unconsumed += data.count
        }
    }
}

/// An error code as the client reports it.
package func code(_ value: some BinaryInteger) -> UInt64? {
    UInt64(exactly: value)
}
