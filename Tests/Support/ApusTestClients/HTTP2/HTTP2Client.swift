import CNghttp2

/// A scripted client: the library's own client session, in memory.
package final class HTTP2Client {
    /// What has come back on one stream.
    package final class Exchange {
        package var informational: [[String]] = []
        package var status: String?
        package var headers: [String] = []
        package var body: [UInt8] = []
        package var trailers: [String]?
        package var isComplete = false
        package var resetCode: UInt32?
        fileprivate var block: [String] = []
        fileprivate var upload: [UInt8] = []
        fileprivate var uploaded = 0
        fileprivate var uploadEnds = false
        fileprivate var uploadTrailers: [(String, String)]?

        /// Body bytes that the server's windows have let through.
        package var sentBody: Int { uploaded }
        /// Whether all that was given has been sent.
        package var hasSentBody: Bool { uploaded == upload.count }
    }

    package struct Goaway: Equatable {
        package let lastStream: Int32
        package let code: UInt32

        package init(lastStream: Int32, code: UInt32) {
            self.lastStream = lastStream
            self.code = code
        }
    }

    package private(set) var streams: [Int32: Exchange] = [:]
    package private(set) var goaways: [Goaway] = []
    package private(set) var settings: [Int32: UInt32] = [:]
    package private(set) var dataFrames = 0
    /// The streams of DATA frames, in order.
    package private(set) var dataOrder: [Int32] = []
    private var handle: OpaquePointer?

    /// - Parameter window: The window of each stream, which then opens only by ``consume(_:on:)``.
    package init(window: UInt32? = nil) {
        var options: OpaquePointer?
        var callbacks: OpaquePointer?
        nghttp2_option_new(&options)
        nghttp2_session_callbacks_new(&callbacks)
        nghttp2_option_set_no_auto_window_update(options, window == nil ? 0 : 1)
        Self.install(callbacks)
        let unowned = Unmanaged.passUnretained(self).toOpaque()
        nghttp2_session_client_new2(&handle, callbacks, unowned, options)
        nghttp2_option_del(options)
        nghttp2_session_callbacks_del(callbacks)
        let entry = nghttp2_settings_entry(
            settings_id: Int32(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE.rawValue),
            value: window ?? 1 << 30
        )
        nghttp2_submit_settings(handle, 0, [entry], 1)
        nghttp2_session_set_local_window_size(handle, 0, 0, 1 << 30)
    }

    deinit {
        nghttp2_session_del(handle)
    }

    package subscript(id: Int32) -> Exchange {
        streams[id] ?? Exchange()
    }

    // MARK: - Requests

    /// Opens a stream with these fields, as they are.
    @discardableResult
    package func request(fields: [(String, String)], body: [UInt8]? = nil, ends: Bool = true) -> Int32 {
        let exchange = Exchange()
        if let body { exchange.upload = body }
        exchange.uploadEnds = ends
        let hasBody = body != nil
        let id = withFields(fields) { fields in
            var provider = nghttp2_data_provider(source: nghttp2_data_source(), read_callback: Self.read)
            return hasBody
                ? nghttp2_submit_request(handle, nil, fields.baseAddress, fields.count, &provider, nil)
                : nghttp2_submit_request(handle, nil, fields.baseAddress, fields.count, nil, nil)
        }
        streams[id] = exchange
        return id
    }

    /// Opens a stream with an ordinary request.
    @discardableResult
    package func request(
        _ method: String = "GET",
        _ path: String = "/",
        _ more: [(String, String)] = [],
        body: [UInt8]? = nil,
        ends: Bool = true
    ) -> Int32 {
        let pseudo = [(":method", method), (":scheme", "https"), (":authority", "example.org"), (":path", path)]
        return request(fields: pseudo + more, body: body, ends: ends)
    }

    package func send(_ body: [UInt8], on id: Int32, ends: Bool = false) {
        self[id].upload += body
        self[id].uploadEnds = ends
        nghttp2_session_resume_data(handle, id)
    }

    package func sendTrailers(_ trailers: [(String, String)], on id: Int32) {
        self[id].uploadEnds = true
        self[id].uploadTrailers = trailers
        nghttp2_session_resume_data(handle, id)
    }

    package func reset(_ id: Int32, _ code: nghttp2_error_code = NGHTTP2_CANCEL) {
        nghttp2_submit_rst_stream(handle, 0, id, code.rawValue)
    }

    package func consume(_ count: Int, on id: Int32) {
        nghttp2_session_consume(handle, id, count)
    }

    /// Whether the server's settings allow extended CONNECT (RFC 8441 §3).
    package var connectsExtended: Bool {
        settings[Int32(NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL.rawValue)] == 1
    }

    package func ping() {
        nghttp2_submit_ping(handle, 0, nil)
    }

    // MARK: - Bytes

    package func receive(_ bytes: [UInt8]) {
        _ = nghttp2_session_mem_recv(handle, bytes, bytes.count)
    }

    package func output() -> [UInt8] {
        var output: [UInt8] = []
        while true {
            var start: UnsafePointer<UInt8>?
            let count = nghttp2_session_mem_send(handle, &start)
            guard count > 0 else { return output }
            output += UnsafeBufferPointer(start: start, count: count)
        }
    }

    // MARK: - Callbacks

    private static func client(_ userData: UnsafeMutableRawPointer?) -> HTTP2Client {
        Unmanaged<HTTP2Client>.fromOpaque(userData!).takeUnretainedValue()
    }

    private static let read: nghttp2_data_source_read_callback = { session, id, buffer, limit, flags, _, userData in
        let exchange = client(userData)[id]
        let waiting = exchange.upload.count - exchange.uploaded
        guard waiting > 0 || exchange.uploadEnds else { return Int(NGHTTP2_ERR_DEFERRED.rawValue) }
        let count = min(waiting, limit)
        exchange.upload.withUnsafeBytes { bytes in
            buffer!
                .withMemoryRebound(to: UInt8.self, capacity: limit) { target in
                    UnsafeMutableRawBufferPointer(start: target, count: count)
                        .copyMemory(
                            from: UnsafeRawBufferPointer(rebasing: bytes[exchange.uploaded..<exchange.uploaded + count])
                        )
                }
        }
        exchange.uploaded += count
        if exchange.uploaded == exchange.upload.count, exchange.uploadEnds {
            flags!.pointee |= NGHTTP2_DATA_FLAG_EOF.rawValue
            if let trailers = exchange.uploadTrailers {
                flags!.pointee |= NGHTTP2_DATA_FLAG_NO_END_STREAM.rawValue
                _ = withFields(trailers) { nghttp2_submit_trailer(session, id, $0.baseAddress, $0.count) }
            }
        }
        return count
    }

    private static func install(_ callbacks: OpaquePointer?) {
        nghttp2_session_callbacks_set_on_header_callback(callbacks) {
            _,
            frame,
            name,
            nameCount,
            value,
            valueCount,
            _,
            data in
            let name = String(decoding: UnsafeBufferPointer(start: name, count: nameCount), as: UTF8.self)
            let value = String(decoding: UnsafeBufferPointer(start: value, count: valueCount), as: UTF8.self)
            HTTP2Client.client(data)[frame!.pointee.hd.stream_id].block.append("\(name): \(value)")
            return 0
        }
        nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks) { _, frame, data in
            HTTP2Client.client(data).frameReceived(frame!.pointee)
            return 0
        }
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks) { _, _, id, bytes, count, data in
            HTTP2Client.client(data)[id].body += UnsafeBufferPointer(start: bytes, count: count)
            return 0
        }
        nghttp2_session_callbacks_set_on_stream_close_callback(callbacks) { _, id, code, data in
            if code != NGHTTP2_NO_ERROR.rawValue { HTTP2Client.client(data)[id].resetCode = code }
            return 0
        }
    }

    private func frameReceived(_ frame: nghttp2_frame) {
        let exchange = self[frame.hd.stream_id]
        switch UInt32(frame.hd.type) {
        case NGHTTP2_HEADERS.rawValue:
            take(exchange.block, into: exchange)
            exchange.block = []
        case NGHTTP2_DATA.rawValue:
            dataFrames += 1
            dataOrder.append(frame.hd.stream_id)
        case NGHTTP2_RST_STREAM.rawValue:
            exchange.resetCode = frame.rst_stream.error_code
        case NGHTTP2_GOAWAY.rawValue:
            goaways.append(Goaway(lastStream: frame.goaway.last_stream_id, code: frame.goaway.error_code))
        case NGHTTP2_SETTINGS.rawValue:
            for index in 0..<frame.settings.niv {
                settings[frame.settings.iv[index].settings_id] = frame.settings.iv[index].value
            }
        default:
            break
        }
        let carriesEnd = frame.hd.type <= NGHTTP2_HEADERS.rawValue
        if carriesEnd, UInt32(frame.hd.flags) & NGHTTP2_FLAG_END_STREAM.rawValue != 0 { exchange.isComplete = true }
    }

    private func take(_ block: [String], into exchange: Exchange) {
        guard let status = block.first, status.hasPrefix(":status: ") else {
            exchange.trailers = block
            return
        }
        if status.hasPrefix(":status: 1") {
            exchange.informational.append(block)
        } else {
            exchange.status = String(status.dropFirst(9))
            exchange.headers = Array(block.dropFirst())
        }
    }
}

/// Calls `body` with fields as the library takes them.
private func withFields<Result>(
    _ fields: [(String, String)],
    _ body: (UnsafeBufferPointer<nghttp2_nv>) -> Result
) -> Result {
    var bytes: [UInt8] = []
    for (name, value) in fields { bytes += Array(name.utf8) + Array(value.utf8) }
    return bytes.withUnsafeMutableBufferPointer { buffer in
        var offset = 0
        let vectors = fields.map { name, value in
            defer { offset += name.utf8.count + value.utf8.count }
            return nghttp2_nv(
                name: buffer.baseAddress! + offset,
                value: buffer.baseAddress! + offset + name.utf8.count,
                namelen: name.utf8.count,
                valuelen: value.utf8.count,
                flags: 0
            )
        }
        return vectors.withUnsafeBufferPointer(body)
    }
}
