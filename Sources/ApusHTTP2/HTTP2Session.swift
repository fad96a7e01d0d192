import ApusGateway
import ApusHTTP
import CNghttp2

/// The library's session of a server: the only owner of its handle.
///
/// Every function that can fail returns the library's code, 0 for success. The ones that take a stream do no harm when
/// the stream has gone.
struct HTTP2Session: ~Copyable {
    /// CONTINUATION frames that may follow one HEADERS frame (CVE-2024-28182).
    private static let maxContinuations = 8
    /// Answers to PING and SETTINGS that may wait before the library takes it for a flood.
    private static let maxQueuedAcknowledgements = 1000
    /// Settings that one SETTINGS frame may have.
    private static let maxSettings = 32
    /// The compression table that we keep for the peer, whatever it allows (RFC 7541 §4.2).
    private static let maxCompressionTableSize = 4096

    /// The window of a connection before anybody has said anything (RFC 9113 §6.9.2).
    private static let initialWindow: Int32 = 65535

    private let handle: OpaquePointer

    /// Opens a session whose callbacks write to `sink`, which has to outlive it.
    ///
    /// - Parameter webSockets: Whether CONNECT may name a protocol; the library refuses one that does otherwise.
    init(limits: Limits, webSockets: Bool, sink: UnsafeMutablePointer<EventSink>) {
        var options: OpaquePointer?
        var callbacks: OpaquePointer?
        var session: OpaquePointer?
        nghttp2_option_new(&options)
        nghttp2_session_callbacks_new(&callbacks)
        defer {
            // The session has copied both.
            nghttp2_option_del(options)
            nghttp2_session_callbacks_del(callbacks)
        }
        Self.configure(options, limits: limits)
        SessionCallbacks.install(in: callbacks)
        let code = nghttp2_session_server_new2(&session, callbacks, sink, options)
        guard code == 0, let session else { preconditionFailure("there is memory for a session") }
        handle = session
        announce(limits, webSockets: webSockets)
    }

    deinit {
        nghttp2_session_del(handle)
    }

    private static func configure(_ options: OpaquePointer?, limits: Limits) {
        nghttp2_option_set_no_auto_window_update(options, 1)
        nghttp2_option_set_no_closed_streams(options, 1)
        nghttp2_option_set_max_outbound_ack(options, maxQueuedAcknowledgements)
        nghttp2_option_set_max_settings(options, maxSettings)
        nghttp2_option_set_max_continuations(options, maxContinuations)
        nghttp2_option_set_max_deflate_dynamic_table_size(options, maxCompressionTableSize)
        nghttp2_option_set_builtin_recv_extension_type(options, UInt8(NGHTTP2_PRIORITY_UPDATE.rawValue))
        // Behind our own count, which knows the time and says ENHANCE_YOUR_CALM (CVE-2023-44487).
        let burst = UInt64(clamping: limits.streamResetBurst.multipliedReportingOverflow(by: 2).partialValue)
        nghttp2_option_set_stream_reset_rate_limit(options, burst, burst / 3)
    }

    /// Queues our SETTINGS, and the WINDOW_UPDATE that makes the connection's window as large as it is to be.
    private func announce(_ limits: Limits, webSockets: Bool) {
        var settings = [
            Self.setting(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, limits.maxConcurrentStreams),
            Self.setting(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, Int(Self.window(limits.streamReceiveWindow))),
            Self.setting(NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, limits.maxFieldSectionSize),
            // RFC 9218 §2.1: the older priorities are not looked at.
            Self.setting(NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1),
        ]
        // RFC 8441 §3.
        if webSockets { settings.append(Self.setting(NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1)) }
        nghttp2_submit_settings(handle, UInt8(NGHTTP2_FLAG_NONE.rawValue), settings, settings.count)
        // RFC 9113 §6.9.2: a connection's window begins at 65535, and only grows.
        let window = max(Self.window(limits.connectionReceiveWindow), Self.initialWindow)
        nghttp2_session_set_local_window_size(handle, UInt8(NGHTTP2_FLAG_NONE.rawValue), 0, window)
    }

    private static func setting(_ id: nghttp2_settings_id, _ value: Int) -> nghttp2_settings_entry {
        nghttp2_settings_entry(settings_id: Int32(id.rawValue), value: UInt32(clamping: value))
    }

    /// A window's size as the protocol can say it (RFC 9113 §6.9.1).
    private static func window(_ size: Int) -> Int32 {
        Int32(clamping: max(size, 0))
    }

    // MARK: Bytes

    /// Reads the peer's bytes; a negative result ends the session.
    func receive(_ bytes: UnsafeRawBufferPointer) -> Int {
        nghttp2_session_mem_recv(handle, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), bytes.count)
    }

    /// Calls `body` with the next frame, valid for the call; 0 where there is nothing to send, negative for a failure.
    func nextFrame(_ body: (UnsafeRawBufferPointer) -> Void) -> Int {
        var start: UnsafePointer<UInt8>?
        let count = nghttp2_session_mem_send(handle, &start)
        if count > 0 { body(UnsafeRawBufferPointer(start: start, count: count)) }
        return count
    }

    /// Whether both sides have said everything.
    var isDone: Bool {
        nghttp2_session_want_read(handle) == 0 && nghttp2_session_want_write(handle) == 0
    }

    /// Frames that wait to be sent, DATA not counted.
    var queuedFrames: Int { nghttp2_session_get_outbound_queue_size(handle) }

    // MARK: Streams

    /// The record of a stream that the library has not closed.
    func stream(_ id: StreamID) -> StreamPointer? {
        guard let id = Int32(exactly: id.rawValue) else { return nil }
        return nghttp2_session_get_stream_user_data(handle, id)?.assumingMemoryBound(to: HTTP2Stream.self)
    }

    /// Queues the head of a response, whose body the record has, now or later.
    func submitResponse(_ stream: StreamPointer, _ fields: UnsafeBufferPointer<nghttp2_nv>, hasBody: Bool) -> Int32 {
        let id = stream.pointee.id
        guard hasBody else {
            return nghttp2_submit_response(handle, id, fields.baseAddress, fields.count, nil)
        }
        // The library copies the provider; the record outlives the library's stream.
        var provider = nghttp2_data_provider(
            source: nghttp2_data_source(ptr: stream),
            read_callback: SessionCallbacks.readBody
        )
        return nghttp2_submit_response(handle, id, fields.baseAddress, fields.count, &provider)
    }

    /// Queues a 1xx response.
    func submitInformational(_ stream: StreamPointer, _ fields: UnsafeBufferPointer<nghttp2_nv>) -> Int32 {
        let flags = UInt8(NGHTTP2_FLAG_NONE.rawValue)
        return nghttp2_submit_headers(handle, flags, stream.pointee.id, nil, fields.baseAddress, fields.count, nil)
    }

    func submitTrailers(_ stream: StreamPointer, _ fields: UnsafeBufferPointer<nghttp2_nv>) -> Int32 {
        nghttp2_submit_trailer(handle, stream.pointee.id, fields.baseAddress, fields.count)
    }

    /// Lets the library ask for the body again.
    func resumeBody(_ stream: StreamPointer) -> Int32 {
        nghttp2_session_resume_data(handle, stream.pointee.id)
    }

    func submitReset(_ stream: StreamPointer, code: UInt32) -> Int32 {
        nghttp2_submit_rst_stream(handle, UInt8(NGHTTP2_FLAG_NONE.rawValue), stream.pointee.id, code)
    }

    /// Whether the peer's windows leave no room for the body of a stream.
    func isBlocked(_ stream: StreamPointer) -> Bool {
        nghttp2_session_get_remote_window_size(handle) <= 0
            || nghttp2_session_get_stream_remote_window_size(handle, stream.pointee.id) <= 0
    }

    /// Lets a stream share the connection with others of its urgency.
    func setIncremental(_ stream: StreamPointer) -> Int32 {
        var priority = nghttp2_extpri(urgency: stream.pointee.urgency, inc: 1)
        return nghttp2_session_change_extpri_stream_priority(handle, stream.pointee.id, &priority, 0)
    }

    // MARK: Windows

    /// Opens the window of a stream, once enough has come together.
    func consume(stream: StreamPointer, _ count: Int) -> Int32 {
        nghttp2_session_consume_stream(handle, stream.pointee.id, count)
    }

    /// Opens the window of the connection, once enough has come together.
    func consumeConnection(_ count: Int) -> Int32 {
        nghttp2_session_consume_connection(handle, count)
    }

    // MARK: Words

    /// The name of an error code of HTTP/2, such as `PROTOCOL_ERROR`.
    static func name(ofErrorCode code: UInt32) -> String {
        nghttp2_http2_strerror(code).map { String(cString: $0) } ?? "error \(code)"
    }

    /// The library's own words for one of its return codes.
    static func text(ofReturnCode code: Int32) -> String {
        nghttp2_strerror(code).map { String(cString: $0) } ?? "error \(code)"
    }

    // MARK: End

    /// Queues the GOAWAY that asks for no more requests, but takes those on their way (RFC 9113 §6.8).
    func submitShutdownNotice() {
        nghttp2_submit_shutdown_notice(handle)
    }

    /// Queues a PING, which overtakes what is queued.
    func submitPing() {
        nghttp2_submit_ping(handle, UInt8(NGHTTP2_FLAG_NONE.rawValue), nil)
    }

    /// Queues the GOAWAY that names the last request taken.
    func submitGoaway() {
        let last = nghttp2_session_get_last_proc_stream_id(handle)
        let flags = UInt8(NGHTTP2_FLAG_NONE.rawValue)
        nghttp2_submit_goaway(handle, flags, last, NGHTTP2_NO_ERROR.rawValue, nil, 0)
    }

    /// Queues the GOAWAY after which nothing is sent or read.
    func terminate(code: UInt32) {
        nghttp2_session_terminate_session(handle, code)
    }
}
