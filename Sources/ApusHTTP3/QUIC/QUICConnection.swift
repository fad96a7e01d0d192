import ApusHTTP
import CNgtcp2

/// The QUIC half of a connection: ngtcp2's and GnuTLS's handles, and the path that datagrams take.
///
/// It owns the handles and nothing else; what the peer said lies in the sink, what to do about it is HTTP3Connection's.
final class QUICConnection {
    /// ngtcp2's connection; freed with this object.
    let handle: OpaquePointer
    let tls: QUICTLSSession
    /// The addresses of the latest datagram, in the form that ngtcp2 wants: most datagrams come over the same path.
    private let path: UnsafeMutablePointer<ngtcp2_path_storage>
    private(set) var local: SocketAddress
    private(set) var remote: SocketAddress

    /// What a server's connection begins with.
    struct Newcomer {
        /// The decoded header of the client's first packet.
        let header: ngtcp2_pkt_hd
        /// What its token proves; the token itself lies in the datagram.
        let proof: AddressTokens.Proof
        let local: SocketAddress
        let remote: SocketAddress
        /// The first ID that we issue.
        let identifier: ConnectionID
    }

    /// A server's connection for a client's first packet; nil where memory or the library says no.
    ///
    /// - Parameter sink: Where the callbacks write; must outlive this object.
    init?(
        _ newcomer: Newcomer,
        configuration: QUICConfiguration,
        sink: UnsafeMutablePointer<ConnectionSink>,
        now: Instant
    ) {
        guard let tls = QUICTLSSession(credentials: configuration.credentials, sink: sink) else { return nil }
        path = .allocate(capacity: 1)
        path.initialize(to: ngtcp2_path_storage())
        Self.fill(path, local: newcomer.local, remote: newcomer.remote)
        var settings = Self.settings(configuration, newcomer, now)
        var parameters = Self.parameters(configuration, newcomer)
        var peerID = newcomer.header.scid
        var ownID = newcomer.identifier.cValue
        var handle: OpaquePointer?
        let status = ngtcp2_conn_server_new_versioned(
            &handle,
            &peerID,
            &ownID,
            &path.pointee.path,
            newcomer.header.version,
            NGTCP2_CALLBACKS_VERSION,
            QUICCallbacks.server,
            NGTCP2_SETTINGS_VERSION,
            &settings,
            NGTCP2_TRANSPORT_PARAMS_VERSION,
            &parameters,
            nil,
            sink
        )
        guard status == 0, let handle else {
            path.deallocate()
            return nil
        }
        self.handle = handle
        self.tls = tls
        local = newcomer.local
        remote = newcomer.remote
        sink.pointee.quic = handle
        ngtcp2_conn_set_tls_native_handle(handle, UnsafeMutableRawPointer(tls.handle))
    }

    deinit {
        // Before the TLS session: ngtcp2 frees ciphers of GnuTLS's here.
        ngtcp2_conn_del(handle)
        path.deallocate()
    }

    private static func settings(
        _ configuration: QUICConfiguration,
        _ newcomer: Newcomer,
        _ now: Instant
    ) -> ngtcp2_settings {
        var settings = ngtcp2_settings()
        ngtcp2_settings_default_versioned(NGTCP2_SETTINGS_VERSION, &settings)
        settings.initial_ts = now.nanoseconds
        settings.max_tx_udp_payload_size = configuration.maxPayloadSize
        settings.handshake_timeout = TimeSpan.seconds(configuration.limits.handshakeTimeout).nanoseconds
        // The windows follow the applications, never the library's guess.
        settings.max_window = 0
        settings.max_stream_window = 0
        // With a token the address counts as proved, and nothing limits what is sent there (RFC 9000 §8.1).
        switch newcomer.proof {
        case .none, .invalid: return settings
        case .known: settings.token_type = NGTCP2_TOKEN_TYPE_NEW_TOKEN
        case .retried: settings.token_type = NGTCP2_TOKEN_TYPE_RETRY
        }
        // ngtcp2 copies it while the connection is made.
        settings.token = newcomer.header.token
        settings.tokenlen = newcomer.header.tokenlen
        return settings
    }

    private static func parameters(
        _ configuration: QUICConfiguration,
        _ newcomer: Newcomer
    ) -> ngtcp2_transport_params {
        let limits = configuration.limits
        var parameters = ngtcp2_transport_params()
        ngtcp2_transport_params_default_versioned(NGTCP2_TRANSPORT_PARAMS_VERSION, &parameters)
        parameters.original_dcid = newcomer.header.dcid
        parameters.original_dcid_present = 1
        // RFC 9000 §7.3: the client checks that it was the same server that had it come again.
        if case .retried(let original) = newcomer.proof {
            parameters.original_dcid = original
            parameters.retry_scid = newcomer.header.dcid
            parameters.retry_scid_present = 1
        }
        parameters.initial_max_stream_data_bidi_remote = UInt64(clamping: limits.streamReceiveWindow)
        parameters.initial_max_stream_data_uni = UInt64(HTTP3Constants.controlStreamWindow)
        parameters.initial_max_data = UInt64(clamping: limits.connectionReceiveWindow)
        parameters.initial_max_streams_bidi = UInt64(clamping: limits.maxConcurrentStreams)
        parameters.initial_max_streams_uni = UInt64(HTTP3Constants.maxUnidirectionalStreams)
        parameters.max_idle_timeout = TimeSpan.seconds(limits.quicIdleTimeout).nanoseconds
        parameters.active_connection_id_limit = 4
        parameters.grease_quic_bit = 1
        parameters.stateless_reset_token_present = 1
        var identifier = newcomer.identifier.cValue
        withUnsafeMutableBytes(of: &parameters.stateless_reset_token) { token in
            resetToken(token, of: &identifier, secret: configuration.secrets.staticSecret)
        }
        return parameters
    }

    // MARK: Datagrams

    /// Gives ngtcp2 one datagram; its code, 0 where all went well.
    func read(
        _ datagram: UnsafeRawBufferPointer,
        local: SocketAddress,
        remote: SocketAddress,
        ecn: UInt8,
        now: Instant
    ) -> Int32 {
        if local != self.local || remote != self.remote {
            Self.fill(path, local: local, remote: remote)
            self.local = local
            self.remote = remote
        }
        var info = ngtcp2_pkt_info()
        info.ecn = ecn
        return ngtcp2_conn_read_pkt_versioned(
            handle,
            &path.pointee.path,
            NGTCP2_PKT_INFO_VERSION,
            &info,
            datagram.baseAddress?.assumingMemoryBound(to: UInt8.self),
            datagram.count,
            now.nanoseconds
        )
    }

    /// The addresses of a path that ngtcp2 has chosen for a packet.
    func addresses(
        of chosen: UnsafeMutablePointer<ngtcp2_path_storage>
    ) -> (local: SocketAddress, remote: SocketAddress) {
        if ngtcp2_path_eq(&chosen.pointee.path, &path.pointee.path) != 0 { return (local, remote) }
        guard let from = chosen.pointee.path.local.addr, let to = chosen.pointee.path.remote.addr,
            let from = SocketAddress(from), let to = SocketAddress(to)
        else { return (local, remote) }
        return (from, to)
    }

    private static func fill(
        _ path: UnsafeMutablePointer<ngtcp2_path_storage>,
        local: SocketAddress,
        remote: SocketAddress
    ) {
        local.withSockAddr { local, localLength in
            remote.withSockAddr { remote, remoteLength in
                ngtcp2_path_storage_init(path, local, localLength, remote, remoteLength, nil)
            }
        }
    }

    // MARK: Close

    /// The packet that tells the peer why the connection ends; empty where nothing is to be said.
    func closePacket(_ error: inout ngtcp2_ccerr, now: Instant) -> [UInt8] {
        var info = ngtcp2_pkt_info()
        let capacity = Int(NGTCP2_MAX_UDP_PAYLOAD_SIZE)
        return [UInt8](unsafeUninitializedCapacity: capacity) { buffer, count in
            let written = ngtcp2_conn_write_connection_close_versioned(
                handle,
                nil,
                NGTCP2_PKT_INFO_VERSION,
                &info,
                buffer.baseAddress,
                capacity,
                &error,
                now.nanoseconds
            )
            count = max(written, 0)
        }
    }

    /// How long packets of a closed connection may still arrive (RFC 9000 §10.2).
    var closingPeriod: TimeSpan {
        TimeSpan(nanoseconds: ngtcp2_conn_get_pto(handle) * 3)
    }
}

/// Writes the token that resets the connection of an ID (RFC 9000 §10.3).
func resetToken(_ token: UnsafeMutableRawBufferPointer, of identifier: inout ngtcp2_cid, secret: [UInt8]) {
    precondition(token.count == Int(NGTCP2_STATELESS_RESET_TOKENLEN), "a reset token has 16 bytes")
    _ = ngtcp2_crypto_generate_stateless_reset_token(
        token.baseAddress?.assumingMemoryBound(to: UInt8.self),
        secret,
        secret.count,
        &identifier
    )
}
