import ApusGateway
import ApusHTTP
import CNghttp3
import CNgtcp2

/// nghttp3's callbacks: they record in the sink, and build request heads in the streams' own memory.
enum HTTP3Callbacks {
    typealias Sink = UnsafeMutablePointer<ConnectionSink>
    typealias StreamRef = UnsafeMutablePointer<HTTP3Stream>

    // Written once, before the first use, and only read from then on; nghttp3 copies what it points at.
    nonisolated(unsafe) private static let server: UnsafePointer<nghttp3_callbacks> = {
        var callbacks = nghttp3_callbacks()
        setHeaders(&callbacks)
        setBody(&callbacks)
        setEnd(&callbacks)
        return QUICCallbacks.immortal(callbacks)
    }()

    // Written once and only read from then on; nghttp3 copies what it points at.
    nonisolated(unsafe) static let bodyReader: UnsafePointer<nghttp3_data_reader> = QUICCallbacks.immortal(
        nghttp3_data_reader(
            read_data: { _, _, vectors, count, flags, user, stream in
                guard let sink = connectionSink(user), let stream = streamRef(stream), let vectors, let flags else {
                    return nghttp3_ssize(NGHTTP3_ERR_CALLBACK_FAILURE)
                }
                return HTTP3Callbacks.readBody(vectors, count, flags, stream, sink)
            }
        )
    )

    // MARK: Begin

    /// Sets HTTP/3 up as soon as the server can send under the final keys, so that SETTINGS go out first.
    static func begin(_ sink: Sink) -> Int32 {
        guard sink.pointee.http == nil, let quic = sink.pointee.quic else { return 0 }
        // RFC 9114 §6.2: the peer must allow at least three unidirectional streams.
        guard ngtcp2_conn_get_streams_uni_left(quic) >= 3 else {
            sink.pointee.applicationError = UInt64(NGHTTP3_H3_STREAM_CREATION_ERROR)
            return NGTCP2_ERR_CALLBACK_FAILURE
        }
        var settings = nghttp3_settings()
        nghttp3_settings_default_versioned(NGHTTP3_SETTINGS_VERSION, &settings)
        settings.max_field_section_size = UInt64(clamping: sink.pointee.limits.maxFieldSectionSize)
        // No dynamic tables. In requests: they then neither block each other nor grow when they are unpacked.
        settings.qpack_max_dtable_capacity = 0
        settings.qpack_blocked_streams = 0
        // In responses: searching the table takes nghttp3 more time than all the rest of a small response.
        settings.qpack_encoder_max_dtable_capacity = 0
        // RFC 9220 §3. Where it is off, nghttp3 takes a request with `:protocol` for malformed.
        settings.enable_connect_protocol = sink.pointee.webSockets ? 1 : 0
        var http: OpaquePointer?
        let status = nghttp3_conn_server_new_versioned(
            &http,
            NGHTTP3_CALLBACKS_VERSION,
            server,
            NGHTTP3_SETTINGS_VERSION,
            &settings,
            nil,
            sink
        )
        guard status == 0, let http else { return NGTCP2_ERR_CALLBACK_FAILURE }
        sink.pointee.http = http
        nghttp3_conn_set_max_client_streams_bidi(http, UInt64(clamping: sink.pointee.limits.maxConcurrentStreams))
        return openControlStreams(quic, http)
    }

    private static func openControlStreams(_ quic: OpaquePointer, _ http: OpaquePointer) -> Int32 {
        var control: Int64 = -1
        var encoder: Int64 = -1
        var decoder: Int64 = -1
        guard ngtcp2_conn_open_uni_stream(quic, &control, nil) == 0,
            ngtcp2_conn_open_uni_stream(quic, &encoder, nil) == 0,
            ngtcp2_conn_open_uni_stream(quic, &decoder, nil) == 0,
            nghttp3_conn_bind_control_stream(http, control) == 0,
            nghttp3_conn_bind_qpack_streams(http, encoder, decoder) == 0
        else { return NGTCP2_ERR_CALLBACK_FAILURE }
        return 0
    }

    // MARK: Heads and trailers

    private static func setHeaders(_ callbacks: inout nghttp3_callbacks) {
        callbacks.begin_headers = { http, id, user, _ in
            guard let sink = connectionSink(user) else { return NGHTTP3_ERR_CALLBACK_FAILURE }
            let stream = sink.pointee.streams.open(id)
            sink.pointee.streamsBegun += 1
            return nghttp3_conn_set_stream_user_data(http, id, stream)
        }
        callbacks.recv_header = { _, _, token, name, value, _, user, stream in
            guard let sink = connectionSink(user), let stream = streamRef(stream) else {
                return NGHTTP3_ERR_CALLBACK_FAILURE
            }
            stream.pointee.receive(token, HTTP3Callbacks.bytes(name), HTTP3Callbacks.bytes(value), sink.pointee.limits)
            return 0
        }
        callbacks.end_headers = { _, _, fin, user, stream in
            guard let sink = connectionSink(user), let stream = streamRef(stream) else {
                return NGHTTP3_ERR_CALLBACK_FAILURE
            }
            sink.pointee.records.append(.request(stream, hasBody: fin == 0))
            return 0
        }
        callbacks.begin_trailers = { _, _, _, stream in
            streamRef(stream)?.pointee.beginTrailers()
            return 0
        }
        callbacks.recv_trailer = { _, _, _, name, value, _, user, stream in
            guard let sink = connectionSink(user), let stream = streamRef(stream) else {
                return NGHTTP3_ERR_CALLBACK_FAILURE
            }
            let fits = stream.pointee.receiveTrailer(
                HTTP3Callbacks.bytes(name),
                HTTP3Callbacks.bytes(value),
                sink.pointee.limits
            )
            if !fits { sink.pointee.records.append(.trailersTooLarge(stream)) }
            return 0
        }
    }

    // MARK: Bodies

    private static func setBody(_ callbacks: inout nghttp3_callbacks) {
        callbacks.recv_data = { _, _, data, count, user, stream in
            guard let sink = connectionSink(user), let stream = streamRef(stream) else {
                return NGHTTP3_ERR_CALLBACK_FAILURE
            }
            HTTP3Callbacks.record(UnsafeBufferPointer(start: data, count: count), stream, sink)
            return 0
        }
        callbacks.deferred_consume = { _, id, count, user, _ in
            guard let quic = connectionSink(user)?.pointee.quic else { return 0 }
            ngtcp2_conn_extend_max_stream_offset(quic, id, UInt64(count))
            ngtcp2_conn_extend_max_offset(quic, UInt64(count))
            return 0
        }
        callbacks.acked_stream_data = { _, _, count, user, stream in
            guard let sink = connectionSink(user), let stream = streamRef(stream) else { return 0 }
            if stream.pointee.acknowledged == 0 { sink.pointee.records.append(.acknowledged(stream)) }
            stream.pointee.acknowledged += Int(clamping: count)
            return 0
        }
    }

    private static func record(_ data: UnsafeBufferPointer<UInt8>, _ stream: StreamRef, _ sink: Sink) {
        guard data.count > 0 else { return }
        sink.pointee.arena.append(contentsOf: data)
        // Small frames behind each other become one piece: a peer cannot buy an object with a byte.
        if case .data(stream, let count) = sink.pointee.records.last {
            sink.pointee.records[sink.pointee.records.count - 1] = .data(stream, count: count + data.count)
        } else {
            sink.pointee.records.append(.data(stream, count: data.count))
        }
    }

    private static func readBody(
        _ vectors: UnsafeMutablePointer<nghttp3_vec>,
        _ count: Int,
        _ flags: UnsafeMutablePointer<UInt32>,
        _ stream: StreamRef,
        _ sink: Sink
    ) -> nghttp3_ssize {
        let filled = stream.pointee.body.handOut(vectors, count: count, limit: HTTP3Constants.handOver)
        let waiting = stream.pointee.body.waiting
        if stream.pointee.isAboveHighWater, waiting <= sink.pointee.limits.streamSendLowWater {
            stream.pointee.isAboveHighWater = false
            sink.pointee.records.append(.writable(stream))
        }
        if waiting == 0, stream.pointee.bodyEnded {
            flags.pointee = UInt32(NGHTTP3_DATA_FLAG_EOF)
            if stream.pointee.trailersFollow { flags.pointee |= UInt32(NGHTTP3_DATA_FLAG_NO_END_STREAM) }
            return filled
        }
        guard filled == 0 else { return filled }
        stream.pointee.isStarved = true
        sink.pointee.emptyReads &+= 1
        return nghttp3_ssize(NGHTTP3_ERR_WOULDBLOCK)
    }

    // MARK: The end of streams

    private static func setEnd(_ callbacks: inout nghttp3_callbacks) {
        callbacks.end_stream = { _, _, user, stream in
            guard let sink = connectionSink(user), let stream = streamRef(stream) else { return 0 }
            sink.pointee.records.append(.endOfRequest(stream))
            return 0
        }
        callbacks.stop_sending = { _, id, code, user, _ in
            connectionSink(user)?.pointee.records.append(.stopReading(id, code))
            return 0
        }
        callbacks.reset_stream = { _, id, code, user, _ in
            connectionSink(user)?.pointee.records.append(.resetSending(id, code))
            return 0
        }
        callbacks.stream_close = { _, _, code, user, stream in
            guard let sink = connectionSink(user) else { return NGHTTP3_ERR_CALLBACK_FAILURE }
            guard let stream = streamRef(stream) else {
                sink.pointee.records.append(.closedWithoutRequest)
                return 0
            }
            sink.pointee.records.append(.closed(stream, code))
            return 0
        }
    }

    private static func bytes(_ buffer: OpaquePointer?) -> UnsafeRawBufferPointer {
        let vector = nghttp3_rcbuf_get_buf(buffer)
        return UnsafeRawBufferPointer(start: vector.base, count: vector.len)
    }
}

/// The sink behind the user data of both libraries' connections.
func connectionSink(_ user: UnsafeMutableRawPointer?) -> UnsafeMutablePointer<ConnectionSink>? {
    user?.assumingMemoryBound(to: ConnectionSink.self)
}

/// The stream behind the user data of nghttp3's streams.
private func streamRef(_ user: UnsafeMutableRawPointer?) -> UnsafeMutablePointer<HTTP3Stream>? {
    user?.assumingMemoryBound(to: HTTP3Stream.self)
}
