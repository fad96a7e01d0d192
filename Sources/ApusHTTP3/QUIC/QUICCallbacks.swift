import ApusHTTP
import CNghttp3
import CNgtcp2

/// ngtcp2's callbacks of a server's connection.
///
/// They record in the sink. Stream data and acknowledgements go straight on to nghttp3, a different library, whose own
/// callbacks record in turn.
enum QUICCallbacks {
    // Written once, before the first use, and only read from then on; ngtcp2 copies what it points at.
    nonisolated(unsafe) static let server: UnsafePointer<ngtcp2_callbacks> = {
        var callbacks = ngtcp2_callbacks()
        callbacks.recv_client_initial = ngtcp2_crypto_recv_client_initial_cb
        setCrypto(&callbacks)
        setConnection(&callbacks)
        setStreams(&callbacks)
        return immortal(callbacks)
    }()

    /// Puts a value into memory that lives as long as the process.
    static func immortal<Value>(_ value: Value) -> UnsafePointer<Value> {
        let place = UnsafeMutablePointer<Value>.allocate(capacity: 1)
        place.initialize(to: value)
        return UnsafePointer(place)
    }

    private static func setCrypto(_ callbacks: inout ngtcp2_callbacks) {
        callbacks.recv_crypto_data = ngtcp2_crypto_recv_crypto_data_cb
        callbacks.encrypt = ngtcp2_crypto_encrypt_cb
        callbacks.decrypt = ngtcp2_crypto_decrypt_cb
        callbacks.hp_mask = ngtcp2_crypto_hp_mask_cb
        callbacks.update_key = ngtcp2_crypto_update_key_cb
        callbacks.delete_crypto_aead_ctx = ngtcp2_crypto_delete_crypto_aead_ctx_cb
        callbacks.delete_crypto_cipher_ctx = ngtcp2_crypto_delete_crypto_cipher_ctx_cb
        callbacks.get_path_challenge_data = ngtcp2_crypto_get_path_challenge_data_cb
        callbacks.version_negotiation = ngtcp2_crypto_version_negotiation_cb
        callbacks.rand = { target, count, _ in
            fillRandom(UnsafeMutableRawBufferPointer(start: target, count: count))
        }
    }

    private static func setConnection(_ callbacks: inout ngtcp2_callbacks) {
        callbacks.get_new_connection_id = { _, identifier, token, _, user in
            guard let sink = connectionSink(user), let identifier, let token else { return NGTCP2_ERR_CALLBACK_FAILURE }
            return QUICCallbacks.issue(identifier, token, sink)
        }
        callbacks.remove_connection_id = { _, identifier, user in
            guard let sink = connectionSink(user), let identifier else { return NGTCP2_ERR_CALLBACK_FAILURE }
            sink.pointee.retired.append(ConnectionID(identifier.pointee))
            return 0
        }
        callbacks.handshake_completed = { _, user in
            connectionSink(user)?.pointee.handshakeCompleted = true
            return 0
        }
        callbacks.path_validation = { _, flags, path, _, result, user in
            guard flags & NGTCP2_PATH_VALIDATION_FLAG_NEW_TOKEN != 0,
                result == NGTCP2_PATH_VALIDATION_RESULT_SUCCESS, let address = path?.pointee.remote.addr
            else { return 0 }
            connectionSink(user)?.pointee.provedAddress = SocketAddress(address)
            return 0
        }
        callbacks.recv_tx_key = { _, level, user in
            guard level == NGTCP2_ENCRYPTION_LEVEL_1RTT else { return 0 }
            guard let sink = connectionSink(user) else { return NGTCP2_ERR_CALLBACK_FAILURE }
            return HTTP3Callbacks.begin(sink)
        }
        callbacks.extend_max_remote_streams_bidi = { _, count, user in
            guard let http = connectionSink(user)?.pointee.http else { return 0 }
            nghttp3_conn_set_max_client_streams_bidi(http, count)
            return 0
        }
    }

    private static func setStreams(_ callbacks: inout ngtcp2_callbacks) {
        callbacks.recv_stream_data = { quic, flags, stream, _, data, count, user, _ in
            guard let sink = connectionSink(user) else { return NGTCP2_ERR_CALLBACK_FAILURE }
            let fin = flags & NGTCP2_STREAM_DATA_FLAG_FIN != 0
            return QUICCallbacks.receive(quic, stream, UnsafeBufferPointer(start: data, count: count), fin, sink)
        }
        callbacks.acked_stream_data_offset = { _, stream, _, count, user, _ in
            guard let sink = connectionSink(user), let http = sink.pointee.http else { return 0 }
            return QUICCallbacks.check(nghttp3_conn_add_ack_offset(http, stream, count), sink)
        }
        callbacks.stream_close = { _, flags, stream, code, user, _ in
            guard let sink = connectionSink(user) else { return NGTCP2_ERR_CALLBACK_FAILURE }
            let isSet = flags & NGTCP2_STREAM_CLOSE_FLAG_APP_ERROR_CODE_SET != 0
            return QUICCallbacks.close(stream, isSet ? code : UInt64(NGHTTP3_H3_NO_ERROR), sink)
        }
        callbacks.stream_reset = { _, stream, _, code, user, _ in
            guard let sink = connectionSink(user) else { return NGTCP2_ERR_CALLBACK_FAILURE }
            sink.pointee.records.append(.peerReset(stream, code))
            guard let http = sink.pointee.http else { return 0 }
            return QUICCallbacks.check(nghttp3_conn_shutdown_stream_read(http, stream), sink)
        }
        callbacks.stream_stop_sending = { _, stream, _, user, _ in
            guard let sink = connectionSink(user), let http = sink.pointee.http else { return 0 }
            return QUICCallbacks.check(nghttp3_conn_shutdown_stream_read(http, stream), sink)
        }
        callbacks.extend_max_stream_data = { _, stream, _, user, _ in
            guard let sink = connectionSink(user), let http = sink.pointee.http else { return 0 }
            return QUICCallbacks.check(nghttp3_conn_unblock_stream(http, stream), sink)
        }
    }

    private static func issue(
        _ identifier: UnsafeMutablePointer<ngtcp2_cid>,
        _ token: UnsafeMutablePointer<UInt8>,
        _ sink: UnsafeMutablePointer<ConnectionSink>
    ) -> Int32 {
        let fresh = sink.pointee.routing.make()
        identifier.pointee = fresh.cValue
        let room = UnsafeMutableRawBufferPointer(start: token, count: Int(NGTCP2_STATELESS_RESET_TOKENLEN))
        resetToken(room, of: &identifier.pointee, secret: sink.pointee.staticSecret)
        sink.pointee.issued.append(fresh)
        return 0
    }

    private static func receive(
        _ quic: OpaquePointer?,
        _ stream: Int64,
        _ data: UnsafeBufferPointer<UInt8>,
        _ fin: Bool,
        _ sink: UnsafeMutablePointer<ConnectionSink>
    ) -> Int32 {
        // Stream data comes after the keys to answer it, which begin HTTP/3.
        guard let http = sink.pointee.http else { return NGTCP2_ERR_CALLBACK_FAILURE }
        let recorded = sink.pointee.arena.count
        let consumed = nghttp3_conn_read_stream(http, stream, data.baseAddress, data.count, fin ? 1 : 0)
        if Int32(truncatingIfNeeded: consumed) == NGHTTP3_ERR_MALFORMED_HTTP_MESSAGING {
            return giveUp(http, stream, sink, dropped: data.count - (sink.pointee.arena.count - recorded))
        }
        guard consumed >= 0 else { return check(Int32(truncatingIfNeeded: consumed), sink) }
        // Everything but body bytes is used up by now; those open the window when the application takes them.
        ngtcp2_conn_extend_max_stream_offset(quic, stream, UInt64(consumed))
        ngtcp2_conn_extend_max_offset(quic, UInt64(consumed))
        return 0
    }

    /// RFC 9114 §4.1.2: a request whose body contradicts its content-length is an error of its stream alone.
    ///
    /// nghttp3 1.8 calls it an error of the connection, although it has only left this stream's parser in mid-frame:
    /// that parser is never entered again once reading is shut.
    private static func giveUp(
        _ http: OpaquePointer,
        _ stream: Int64,
        _ sink: UnsafeMutablePointer<ConnectionSink>,
        dropped: Int
    ) -> Int32 {
        sink.pointee.records.append(.stopReading(stream, UInt64(NGHTTP3_H3_MESSAGE_ERROR)))
        sink.pointee.records.append(.resetSending(stream, UInt64(NGHTTP3_H3_MESSAGE_ERROR)))
        ngtcp2_conn_extend_max_offset(sink.pointee.quic, UInt64(max(0, dropped)))
        return check(nghttp3_conn_shutdown_stream_read(http, stream), sink)
    }

    private static func close(_ stream: Int64, _ code: UInt64, _ sink: UnsafeMutablePointer<ConnectionSink>) -> Int32 {
        let isRequest = stream & 3 == 0
        if stream & 3 == 2 { sink.pointee.records.append(.closedUnidirectional) }
        guard let http = sink.pointee.http else { return 0 }
        let status = nghttp3_conn_close_stream(http, stream, code)
        guard status == NGHTTP3_ERR_STREAM_NOT_FOUND else { return check(status, sink) }
        if isRequest { sink.pointee.records.append(.closedWithoutRequest) }
        return 0
    }

    /// Turns nghttp3's code into ngtcp2's, and keeps the error that the peer must be told.
    private static func check(_ status: Int32, _ sink: UnsafeMutablePointer<ConnectionSink>) -> Int32 {
        guard status < 0 else { return 0 }
        if sink.pointee.applicationError == nil {
            sink.pointee.applicationError = nghttp3_err_infer_quic_app_error_code(status)
        }
        return NGTCP2_ERR_CALLBACK_FAILURE
    }
}
