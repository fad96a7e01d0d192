import ApusHTTP
import CNghttp3
import CNgtcp2

/// Datagrams in and out.
extension HTTP3Client {
    package func receive(_ datagram: [UInt8], now: Instant) {
        guard !isOver else { return }
        var info = ngtcp2_pkt_info()
        withPath { path in
            let status = ngtcp2_conn_read_pkt_versioned(
                quic,
                path,
                NGTCP2_PKT_INFO_VERSION,
                &info,
                datagram,
                datagram.count,
                now.nanoseconds
            )
            if status != 0 { failure = status }
        }
    }

    package var expiry: UInt64 { isOver ? .max : ngtcp2_conn_get_expiry(quic) }

    package func handleTimeout(now: Instant) {
        guard !isOver, expiry <= now.nanoseconds else { return }
        let status = ngtcp2_conn_handle_expiry(quic, now.nanoseconds)
        if status != 0 { failure = status }
    }

    /// Every packet that can be sent now.
    package func packets(now: Instant) -> [[UInt8]] {
        guard !isOver else { return [] }
        if http != nil, !waiting.isEmpty, handshakeCompleted {
            let all = waiting
            waiting = []
            for send in all { send() }
        }
        var packets: [[UInt8]] = []
        var storage = ngtcp2_path_storage()
        ngtcp2_path_storage_zero(&storage)
        while packets.count < 1000, let packet = nextRawPacket(now) ?? nextPacket(now) {
            packets.append(packet)
        }
        ngtcp2_conn_update_pkt_tx_time(quic, now.nanoseconds)
        return packets
    }

    private func nextPacket(_ now: Instant) -> [UInt8]? {
        var buffer = [UInt8](repeating: 0, count: 1452)
        var vectors = [nghttp3_vec](repeating: nghttp3_vec(), count: 16)
        var info = ngtcp2_pkt_info()
        while true {
            var id: Int64 = -1
            var fin: Int32 = 0
            var count = 0
            if let http, ngtcp2_conn_get_max_data_left(quic) > 0 {
                count = nghttp3_conn_writev_stream(http, &id, &fin, &vectors, 16)
                guard count >= 0 else { return nil }
            }
            var taken: ngtcp2_ssize = -1
            let flags = UInt32(NGTCP2_WRITE_STREAM_FLAG_MORE) | (fin != 0 ? UInt32(NGTCP2_WRITE_STREAM_FLAG_FIN) : 0)
            let written = vectors.withUnsafeBytes { vectors in
                ngtcp2_conn_writev_stream_versioned(
                    quic,
                    nil,
                    NGTCP2_PKT_INFO_VERSION,
                    &info,
                    &buffer,
                    buffer.count,
                    &taken,
                    flags,
                    id,
                    vectors.baseAddress?.assumingMemoryBound(to: ngtcp2_vec.self),
                    count,
                    now.nanoseconds
                )
            }
            switch Int32(truncatingIfNeeded: written) {
            case NGTCP2_ERR_STREAM_DATA_BLOCKED:
                nghttp3_conn_block_stream(http, id)
                continue
            case NGTCP2_ERR_STREAM_SHUT_WR, NGTCP2_ERR_STREAM_NOT_FOUND:
                nghttp3_conn_shutdown_stream_write(http, id)
                continue
            case NGTCP2_ERR_WRITE_MORE:
                nghttp3_conn_add_write_offset(http, id, taken)
                continue
            case let status where status < 0:
                failure = status
                return nil
            default:
                if taken >= 0, id >= 0 { nghttp3_conn_add_write_offset(http, id, taken) }
                return written == 0 ? nil : Array(buffer[0..<written])
            }
        }
    }

    /// The packet that closes the connection.
    package func close(now: Instant, code: UInt64 = UInt64(NGHTTP3_H3_NO_ERROR)) -> [UInt8] {
        var error = ngtcp2_ccerr()
        ngtcp2_ccerr_set_application_error(&error, code, nil, 0)
        var buffer = [UInt8](repeating: 0, count: 1452)
        var info = ngtcp2_pkt_info()
        let written = ngtcp2_conn_write_connection_close_versioned(
            quic,
            nil,
            NGTCP2_PKT_INFO_VERSION,
            &info,
            &buffer,
            buffer.count,
            &error,
            now.nanoseconds
        )
        failure = NGTCP2_ERR_CLOSING
        return Array(buffer[0..<max(0, written)])
    }

    /// The code with which the server closed the connection; nil where it has not.
    package var serverCloseCode: UInt64? {
        guard failure == NGTCP2_ERR_DRAINING, let error = ngtcp2_conn_get_ccerr(quic) else { return nil }
        return error.pointee.error_code
    }
}
