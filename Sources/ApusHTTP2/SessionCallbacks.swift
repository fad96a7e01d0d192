import ApusGateway
import ApusHTTP
import CNghttp2

/// What the library calls while it reads or writes: each records what it sees in the sink and returns.
enum SessionCallbacks {
    /// The output of one call after which the library is asked to pause.
    static let outputBudget = 256 * 1024

    /// Puts all callbacks in place.
    static func install(in callbacks: OpaquePointer?) {
        nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, beginHeaders)
        nghttp2_session_callbacks_set_on_header_callback(callbacks, header)
        nghttp2_session_callbacks_set_on_invalid_header_callback(callbacks, invalidHeader)
        nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, frameReceived)
        nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, invalidFrame)
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, dataReceived)
        nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, streamClosed)
        nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, frameSent)
        nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, frameNotSent)
        nghttp2_session_callbacks_set_send_data_callback(callbacks, sendData)
    }

    private typealias Sink = UnsafeMutablePointer<EventSink>

    /// The sink behind a session's user data, which lives longer than the session.
    private static func sink(_ userData: UnsafeMutableRawPointer?) -> Sink? {
        userData?.assumingMemoryBound(to: EventSink.self)
    }

    /// The record behind a stream, nil for streams that have none, such as idle or closed ones.
    private static func record(_ session: OpaquePointer?, _ id: Int32) -> StreamPointer? {
        nghttp2_session_get_stream_user_data(session, id)?.assumingMemoryBound(to: HTTP2Stream.self)
    }

    private static func has(_ flag: nghttp2_flag, _ header: nghttp2_frame_hd) -> Bool {
        UInt32(header.flags) & flag.rawValue != 0
    }

    // MARK: - Input

    private static let beginHeaders: nghttp2_on_begin_headers_callback = { session, frame, userData in
        guard let sink = sink(userData), let header = frame?.pointee.hd else { return 0 }
        if let stream = record(session, header.stream_id) {
            stream.pointee.trailers = FieldSection()
            sink.pointee.openBlock = stream
        } else {
            let stream = sink.pointee.streams.make(id: header.stream_id)
            guard nghttp2_session_set_stream_user_data(session, header.stream_id, stream) == 0 else {
                sink.pointee.streams.release(stream)
                return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue
            }
            sink.pointee.openBlock = stream
        }
        return 0
    }

    private static let header: nghttp2_on_header_callback = { _, _, name, nameCount, value, valueCount, _, userData in
        guard let sink = sink(userData), let stream = sink.pointee.openBlock else { return 0 }
        let name = UnsafeRawBufferPointer(start: name, count: nameCount)
        let value = UnsafeRawBufferPointer(start: value, count: valueCount)
        let isHopeless = add(name, value, to: stream, within: sink.pointee.limits)
        // The library then decodes the block for its compression state only, and resets the stream.
        return isHopeless ? NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue : 0
    }

    /// Adds a field to what is coming in on a stream; true where the rest of the block is not worth decoding.
    private static func add(
        _ name: UnsafeRawBufferPointer,
        _ value: UnsafeRawBufferPointer,
        to stream: StreamPointer,
        within limits: Limits
    ) -> Bool {
        if stream.pointee.trailers == nil {
            stream.pointee.request?.add(name, value, within: limits)
            return stream.pointee.request?.isHopeless(within: limits) == true
        }
        if stream.pointee.trailers?.admit(name, value, within: limits) == true {
            stream.pointee.trailers?.append(name, value, within: limits)
        }
        return stream.pointee.trailers?.isHopeless(within: limits) == true
    }

    /// RFC 9113 §8.2.1: a field with bytes that it may not have makes the message malformed; the library would
    /// otherwise leave the field out.
    private static let invalidHeader: nghttp2_on_invalid_header_callback = { _, _, _, _, _, _, _, _ in
        NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue
    }

    private static let frameReceived: nghttp2_on_frame_recv_callback = { session, frame, userData in
        guard let sink = sink(userData), let header = frame?.pointee.hd else { return 0 }
        switch UInt32(header.type) {
        case NGHTTP2_HEADERS.rawValue:
            guard let stream = record(session, header.stream_id) else { break }
            sink.pointee.openBlock = nil
            let ends = has(NGHTTP2_FLAG_END_STREAM, header)
            stream.pointee.requestEnded = ends
            let isHead = stream.pointee.trailers == nil
            sink.pointee.events.append(isHead ? .head(stream, endsRequest: ends) : .requestEnd(stream))
        case NGHTTP2_DATA.rawValue where has(NGHTTP2_FLAG_END_STREAM, header):
            guard let stream = record(session, header.stream_id) else { break }
            stream.pointee.requestEnded = true
            sink.pointee.events.append(.requestEnd(stream))
        case NGHTTP2_RST_STREAM.rawValue:
            sink.pointee.events.append(.peerReset)
        case NGHTTP2_PING.rawValue where has(NGHTTP2_FLAG_ACK, header):
            sink.pointee.events.append(.pingAnswered)
        default:
            break
        }
        return 0
    }

    private static let invalidFrame: nghttp2_on_invalid_frame_recv_callback = { _, _, code, userData in
        guard let sink = sink(userData) else { return 0 }
        sink.pointee.lastInvalid = code
        // A block that is not accepted never ends for us.
        sink.pointee.openBlock = nil
        return 0
    }

    private static let dataReceived: nghttp2_on_data_chunk_recv_callback = { session, _, id, data, count, userData in
        guard let sink = sink(userData), let stream = record(session, id) else { return 0 }
        let bytes = Bytes(copying: UnsafeRawBufferPointer(start: data, count: count))
        sink.pointee.events.append(.data(stream, bytes))
        return 0
    }

    private static let streamClosed: nghttp2_on_stream_close_callback = { session, id, code, userData in
        guard let sink = sink(userData), let stream = record(session, id) else { return 0 }
        if sink.pointee.openBlock == stream { sink.pointee.openBlock = nil }
        stream.pointee.isClosed = true
        sink.pointee.events.append(.closed(stream, code: code))
        return 0
    }

    // MARK: - Output

    /// Tells how much of a body the next DATA frame takes; ``sendData`` moves it.
    static let readBody: nghttp2_data_source_read_callback = { _, _, _, limit, flags, source, userData in
        guard let sink = sink(userData), let flags,
            let stream = source?.pointee.ptr?.assumingMemoryBound(to: HTTP2Stream.self)
        else { return Int(NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue) }
        let waiting = stream.pointee.body.count
        guard waiting > 0 || stream.pointee.bodyIsComplete else {
            stream.pointee.isDeferred = true
            return Int(NGHTTP2_ERR_DEFERRED.rawValue)
        }
        let count = min(waiting, limit)
        if count > 0 { flags.pointee |= NGHTTP2_DATA_FLAG_NO_COPY.rawValue }
        if count == waiting, stream.pointee.bodyIsComplete {
            flags.pointee |= NGHTTP2_DATA_FLAG_EOF.rawValue
            if stream.pointee.responseTrailers != nil {
                flags.pointee |= NGHTTP2_DATA_FLAG_NO_END_STREAM.rawValue
                sink.pointee.events.append(.trailersDue(stream))
            }
        }
        return count
    }

    /// Writes a DATA frame: its header as a copy, the body by reference where it is large.
    private static let sendData: nghttp2_send_data_callback = { _, _, header, count, source, userData in
        guard let sink = sink(userData), let stream = source?.pointee.ptr?.assumingMemoryBound(to: HTTP2Stream.self)
        else { return NGHTTP2_ERR_CALLBACK_FAILURE.rawValue }
        // RFC 9113 §4.1: a frame's header has nine bytes. We pad nothing, so the body follows at once.
        sink.pointee.output.append(UnsafeRawBufferPointer(start: header, count: 9))
        stream.pointee.body.move(count, to: &sink.pointee.output)
        stream.pointee.lastProgress = sink.pointee.now
        if stream.pointee.isAboveHighWater, stream.pointee.body.count < sink.pointee.limits.streamSendLowWater {
            stream.pointee.isAboveHighWater = false
            sink.pointee.events.append(.writable(stream))
        }
        return sink.pointee.output.count < outputBudget ? 0 : NGHTTP2_ERR_PAUSE.rawValue
    }

    private static let frameSent: nghttp2_on_frame_send_callback = { session, frame, userData in
        guard let sink = sink(userData), let frame, case let header = frame.pointee.hd else { return 0 }
        switch UInt32(header.type) {
        case NGHTTP2_HEADERS.rawValue, NGHTTP2_DATA.rawValue:
            guard has(NGHTTP2_FLAG_END_STREAM, header), let stream = record(session, header.stream_id) else { break }
            stream.pointee.responseIsSent = true
            // The peer ends its side of a tunnel itself.
            if !stream.pointee.requestEnded, !stream.pointee.isTunnel {
                sink.pointee.events.append(.answeredEarly(stream))
            }
        case NGHTTP2_RST_STREAM.rawValue:
            let isOurs = record(session, header.stream_id)?.pointee.resetIsOurs == true
            // A peer that opens more streams than it knows it may has done nothing wrong, and started nothing.
            let isRefusal = frame.pointee.rst_stream.error_code == NGHTTP2_REFUSED_STREAM.rawValue
            if !isOurs, !isRefusal { sink.pointee.events.append(.provokedReset) }
        case NGHTTP2_GOAWAY.rawValue:
            let goaway = frame.pointee.goaway
            // The library's own words, from its literals.
            let reason = UnsafeRawBufferPointer(start: goaway.opaque_data, count: goaway.opaque_data_len)
            let text = String(decoding: reason, as: UTF8.self)
            sink.pointee.events.append(.goawaySent(code: goaway.error_code, reason: text))
        default:
            break
        }
        return 0
    }

    private static let frameNotSent: nghttp2_on_frame_not_send_callback = { session, frame, code, userData in
        // A stream that is being reset loses its other frames; nothing is wrong with them.
        let isReset = code == NGHTTP2_ERR_STREAM_CLOSING.rawValue || code == NGHTTP2_ERR_STREAM_CLOSED.rawValue
        guard !isReset, let sink = sink(userData), let header = frame?.pointee.hd,
            UInt32(header.type) == NGHTTP2_HEADERS.rawValue, let stream = record(session, header.stream_id)
        else { return 0 }
        sink.pointee.events.append(.headNotSent(stream))
        return 0
    }
}
