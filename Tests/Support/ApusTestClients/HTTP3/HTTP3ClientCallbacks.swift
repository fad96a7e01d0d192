import ApusGateway
import CGnuTLS
import CNghttp3
import CNgtcp2

/// The callbacks of ``HTTP3Client``: straight into the object, which no test shares between threads.
enum HTTP3ClientCallbacks {
    static var quic: ngtcp2_callbacks {
        var callbacks = ngtcp2_callbacks()
        callbacks.client_initial = ngtcp2_crypto_client_initial_cb
        callbacks.recv_retry = { quic, header, user in
            client(user).retries += 1
            return ngtcp2_crypto_recv_retry_cb(quic, header, user)
        }
        callbacks.recv_new_token = { _, token, count, user in
            client(user).newTokens.append(Array(UnsafeBufferPointer(start: token, count: count)))
            return 0
        }
        callbacks.recv_crypto_data = ngtcp2_crypto_recv_crypto_data_cb
        callbacks.encrypt = ngtcp2_crypto_encrypt_cb
        callbacks.decrypt = ngtcp2_crypto_decrypt_cb
        callbacks.hp_mask = ngtcp2_crypto_hp_mask_cb
        callbacks.update_key = ngtcp2_crypto_update_key_cb
        callbacks.delete_crypto_aead_ctx = ngtcp2_crypto_delete_crypto_aead_ctx_cb
        callbacks.delete_crypto_cipher_ctx = ngtcp2_crypto_delete_crypto_cipher_ctx_cb
        callbacks.get_path_challenge_data = ngtcp2_crypto_get_path_challenge_data_cb
        callbacks.version_negotiation = ngtcp2_crypto_version_negotiation_cb
        callbacks.rand = { target, count, _ in gnutls_rnd(GNUTLS_RND_NONCE, target, count) }
        callbacks.get_new_connection_id = { _, identifier, token, length, _ in
            identifier?.pointee.datalen = length
            if let identifier { gnutls_rnd(GNUTLS_RND_NONCE, &identifier.pointee.data, length) }
            gnutls_rnd(GNUTLS_RND_NONCE, token, 16)
            return 0
        }
        callbacks.handshake_completed = { _, user in
            client(user).handshakeCompleted = true
            return 0
        }
        callbacks.handshake_confirmed = { _, user in
            client(user).handshakeConfirmed = true
            return 0
        }
        callbacks.recv_version_negotiation = { _, _, _, _, user in
            client(user).receivedVersionNegotiation = true
            return 0
        }
        callbacks.recv_stateless_reset = { _, _, user in
            client(user).receivedStatelessReset = true
            return 0
        }
        callbacks.recv_rx_key = { _, level, user in
            level == NGTCP2_ENCRYPTION_LEVEL_1RTT ? client(user).beginHTTP3() : 0
        }
        callbacks.extend_max_local_streams_bidi = { _, count, user in
            client(user).maxStreams = count
            return 0
        }
        setStreams(&callbacks)
        return callbacks
    }

    private static func setStreams(_ callbacks: inout ngtcp2_callbacks) {
        callbacks.recv_stream_data = { _, flags, id, _, data, count, user, _ in
            client(user)
                .receiveStream(
                    id,
                    UnsafeBufferPointer(start: data, count: count),
                    fin: flags & NGTCP2_STREAM_DATA_FLAG_FIN != 0
                )
        }
        callbacks.acked_stream_data_offset = { _, id, _, count, user, _ in
            nghttp3_conn_add_ack_offset(client(user).http, id, count)
        }
        callbacks.stream_close = { _, flags, id, code, user, _ in
            let isSet = flags & NGTCP2_STREAM_CLOSE_FLAG_APP_ERROR_CODE_SET != 0
            let code = isSet ? code : UInt64(NGHTTP3_H3_NO_ERROR)
            client(user).responses[id]?.closeCode = code
            nghttp3_conn_close_stream(client(user).http, id, code)
            return 0
        }
        callbacks.stream_reset = { _, id, _, code, user, _ in
            client(user).responses[id]?.resetCode = code
            return nghttp3_conn_shutdown_stream_read(client(user).http, id)
        }
        callbacks.stream_stop_sending = { _, id, _, user, _ in
            nghttp3_conn_shutdown_stream_read(client(user).http, id)
        }
        callbacks.extend_max_stream_data = { _, id, _, user, _ in
            nghttp3_conn_unblock_stream(client(user).http, id)
        }
    }

    nonisolated(unsafe) static let reader: UnsafePointer<nghttp3_data_reader> = {
        let place = UnsafeMutablePointer<nghttp3_data_reader>.allocate(capacity: 1)
        place.initialize(
            to: nghttp3_data_reader(
                read_data: { _, id, vectors, _, flags, user, _ in
                    guard let vectors, let flags else { return nghttp3_ssize(NGHTTP3_ERR_CALLBACK_FAILURE) }
                    return client(user).nextUpload(id, vectors, flags)
                }
            )
        )
        return UnsafePointer(place)
    }()

    static var http: nghttp3_callbacks {
        var callbacks = nghttp3_callbacks()
        callbacks.begin_headers = { _, id, user, _ in
            let client = client(user)
            // A second section before the end of the first one's stream follows a 1xx response.
            if let response = client.responses[id], let status = response.status, status < 200 {
                client.responses[id]?.informational.append((status, response.fields))
            }
            client.responses[id]?.status = nil
            client.responses[id]?.fields = Headers()
            return 0
        }
        callbacks.recv_header = { _, id, _, name, value, _, user, _ in
            let (name, value) = (bytes(name), bytes(value))
            if name.elementsEqual(":status".utf8) {
                client(user).responses[id]?.status = Int(String(decoding: value, as: UTF8.self))
            } else {
                client(user).responses[id]?.fields.append(name: name, value: value)
            }
            return 0
        }
        callbacks.begin_trailers = { _, id, user, _ in
            client(user).responses[id]?.trailers = Headers()
            return 0
        }
        callbacks.recv_trailer = { _, id, _, name, value, _, user, _ in
            client(user).responses[id]?.trailers?.append(name: bytes(name), value: bytes(value))
            return 0
        }
        callbacks.recv_data = { _, id, data, count, user, _ in
            client(user).receiveBody(id, UnsafeBufferPointer(start: data, count: count))
            return 0
        }
        callbacks.end_stream = { _, id, user, _ in
            client(user).responses[id]?.ended = true
            return 0
        }
        callbacks.stop_sending = { _, id, code, user, _ in
            client(user).stopReading(id, code)
            return 0
        }
        callbacks.reset_stream = { _, id, code, user, _ in
            client(user).reset(id, code)
            return 0
        }
        callbacks.shutdown = { _, id, user in
            client(user).goaways.append(id)
            return 0
        }
        return callbacks
    }
}

private func client(_ user: UnsafeMutableRawPointer?) -> HTTP3Client {
    guard let user else { preconditionFailure("the library passes the user data on") }
    return Unmanaged<HTTP3Client>.fromOpaque(user).takeUnretainedValue()
}

private func bytes(_ buffer: OpaquePointer?) -> UnsafeRawBufferPointer {
    let vector = nghttp3_rcbuf_get_buf(buffer)
    return UnsafeRawBufferPointer(start: vector.base, count: vector.len)
}
