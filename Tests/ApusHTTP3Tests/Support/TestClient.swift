import ApusGateway
import ApusHTTP
import CGnuTLS
import CNghttp3
import CNgtcp2

/// An HTTP/3 client on ngtcp2 and nghttp3, without a socket: the peer of the engine in these tests.
final class TestClient {
    struct Options {
        var alpn = "h3"
        var streamWindow: UInt64 = 256 * 1024
        var connectionWindow: UInt64 = 1024 * 1024
        var idleTimeout: UInt64 = 30_000_000_000
        /// Whether windows are opened as data arrives.
        var consumes = true
        var version: UInt32 = 1
        var serverName = "localhost"
    }

    struct Response {
        var informational: [(status: Int, fields: Headers)] = []
        var status: Int?
        var fields = Headers()
        var body: [UInt8] = []
        var trailers: Headers?
        /// The stream's end has arrived.
        var ended = false
        /// The peer has reset its half.
        var resetCode: UInt64?
        /// The stream is closed, with this code.
        var closeCode: UInt64?
        /// Body bytes for which the window was not opened.
        var unconsumed = 0
    }

    /// A request body: what is there, and whether more comes.
    struct Upload {
        var pieces: [UInt8] = []
        var offered = 0
        var isComplete = true
        var trailers: Headers?
    }

    private(set) var quic: OpaquePointer?
    private(set) var http: OpaquePointer?
    private var tls: gnutls_session_t?
    private var credentials: gnutls_certificate_credentials_t?
    private let reference: UnsafeMutablePointer<ngtcp2_crypto_conn_ref>
    private(set) var local: SocketAddress
    let remote: SocketAddress
    let options: Options

    var responses: [Int64: Response] = [:]
    var uploads: [Int64: Upload] = [:]
    /// Bodies must stay where they are until they are acknowledged: kept to the end of the test.
    private var kept: [UnsafeMutablePointer<UInt8>] = []
    private var uploadMemory: [Int64: UnsafeMutablePointer<UInt8>] = [:]
    var goaways: [Int64] = []
    var handshakeCompleted = false
    var handshakeConfirmed = false
    /// What ended the connection, as ngtcp2 says it.
    var failure: Int32 = 0
    var receivedVersionNegotiation = false
    var receivedStatelessReset = false
    /// Requests that wait for the handshake.
    private var waiting: [() -> Void] = []
    var maxStreams: UInt64 = 0
    /// The first bytes of the server's unidirectional streams, for what nghttp3 does not tell.
    var serverStreams: [Int64: [UInt8]] = [:]
    /// Streams that nobody reads: their windows stay shut until ``consume(_:)``.
    var unread: Set<Int64> = []

    var isOver: Bool { failure != 0 }

    /// Whether the server has sent a session ticket.
    var hasTicket: Bool { gnutls_session_get_flags(tls) & GNUTLS_SFLAGS_SESSION_TICKET.rawValue != 0 }

    init(local: SocketAddress, remote: SocketAddress, now: Instant, options: Options = Options()) {
        self.local = local
        self.remote = remote
        self.options = options
        reference = .allocate(capacity: 1)
        setUpTLS()
        setUpQUIC(now)
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
                    return Unmanaged<TestClient>.fromOpaque(user).takeUnretainedValue().quic
                },
                user_data: user
            )
        )
        gnutls_init(&tls, UInt32(GNUTLS_CLIENT.rawValue) | UInt32(GNUTLS_NO_END_OF_EARLY_DATA.rawValue))
        let priority = "NORMAL:-VERS-ALL:+VERS-TLS1.3:%DISABLE_TLS13_COMPAT_MODE"
        gnutls_priority_set_direct(tls, priority, nil)
        gnutls_certificate_allocate_credentials(&credentials)
        gnutls_credentials_set(tls, GNUTLS_CRD_CERTIFICATE, credentials.map { UnsafeMutableRawPointer($0) })
        ngtcp2_crypto_gnutls_configure_client_session(tls)
        gnutls_session_set_ptr(tls, reference)
        gnutls_server_name_set(tls, GNUTLS_NAME_DNS, options.serverName, options.serverName.utf8.count)
        var name = Array(options.alpn.utf8)
        name.withUnsafeMutableBufferPointer { name in
            var datum = gnutls_datum_t(data: name.baseAddress, size: UInt32(name.count))
            _ = gnutls_alpn_set_protocols(tls, &datum, 1, 0)
        }
    }

    private func setUpQUIC(_ now: Instant) {
        var settings = ngtcp2_settings()
        ngtcp2_settings_default_versioned(NGTCP2_SETTINGS_VERSION, &settings)
        settings.initial_ts = now.nanoseconds
        var parameters = ngtcp2_transport_params()
        ngtcp2_transport_params_default_versioned(NGTCP2_TRANSPORT_PARAMS_VERSION, &parameters)
        parameters.initial_max_stream_data_bidi_local = options.streamWindow
        parameters.initial_max_stream_data_uni = 64 * 1024
        parameters.initial_max_data = options.connectionWindow
        parameters.initial_max_streams_uni = 3
        parameters.max_idle_timeout = options.idleTimeout
        parameters.active_connection_id_limit = 7
        var destination = randomID(18)
        var source = randomID(17)
        var callbacks = TestClientCallbacks.quic
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

    func randomID(_ length: Int) -> ngtcp2_cid {
        var identifier = ngtcp2_cid()
        identifier.datalen = length
        withUnsafeMutableBytes(of: &identifier.data) { bytes in
            for index in 0..<length { bytes[index] = UInt8.random(in: 0...255) }
        }
        return identifier
    }

    private func withPath(_ body: (UnsafeMutablePointer<ngtcp2_path>) -> Void) {
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

    // MARK: Requests

    /// Sends a request as soon as the handshake allows.
    ///
    /// - Returns: The ordinal of the request; its stream is four times that.
    @discardableResult
    func request(
        _ method: String = "GET",
        _ path: String = "/",
        fields: Headers = Headers(),
        pseudo: [(String, String)]? = nil,
        upload: Upload? = nil
    ) -> Int64 {
        let id = Int64(requests) * 4
        requests += 1
        responses[id] = Response()
        let send = { [unowned self] in
            submit(id, pseudo ?? TestClient.pseudo(method, path), fields, upload)
        }
        if http == nil { waiting.append(send) } else { send() }
        return id
    }

    private var requests = 0

    static func pseudo(_ method: String, _ path: String) -> [(String, String)] {
        [(":method", method), (":scheme", "https"), (":authority", "localhost"), (":path", path)]
    }

    private func submit(_ id: Int64, _ pseudo: [(String, String)], _ fields: Headers, _ upload: Upload?) {
        var opened: Int64 = -1
        guard ngtcp2_conn_open_bidi_stream(quic, &opened, nil) == 0 else {
            waiting.append { [unowned self] in submit(id, pseudo, fields, upload) }
            return
        }
        precondition(opened == id, "streams are opened in the order of the requests")
        var all = Headers()
        for (name, value) in pseudo { all.append(name, value) }
        all.append(contentsOf: fields)
        if let upload {
            uploads[id] = upload
            store(id, capacity: max(upload.pieces.count, 4 * 1024 * 1024))
        }
        let status = withFields(all) { fields, count in
            nghttp3_conn_submit_request(
                http,
                id,
                fields,
                count,
                upload == nil ? nil : TestClientCallbacks.reader,
                nil
            )
        }
        precondition(status == 0, "nghttp3 takes a request")
    }

    private func store(_ id: Int64, capacity: Int) {
        let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: capacity)
        kept.append(memory)
        uploadMemory[id] = memory
        uploads[id]?.pieces
            .withUnsafeBufferPointer { pieces in
                if let base = pieces.baseAddress { memory.update(from: base, count: pieces.count) }
            }
    }

    /// Adds to a request body.
    func upload(_ bytes: [UInt8], end: Bool, on id: Int64) {
        let offset = uploads[id]?.pieces.count ?? 0
        if let memory = uploadMemory[id] {
            for (index, byte) in bytes.enumerated() { memory[offset + index] = byte }
        }
        uploads[id]?.pieces.append(contentsOf: bytes)
        uploads[id]?.isComplete = end
        nghttp3_conn_resume_stream(http, id)
    }

    func nextUpload(
        _ id: Int64,
        _ vectors: UnsafeMutablePointer<nghttp3_vec>,
        _ flags: UnsafeMutablePointer<UInt32>
    ) -> Int {
        guard var upload = uploads[id], let memory = uploadMemory[id] else { return Int(NGHTTP3_ERR_CALLBACK_FAILURE) }
        defer { uploads[id] = upload }
        let left = min(upload.pieces.count - upload.offered, 16 * 1024)
        if left > 0 {
            vectors[0] = nghttp3_vec(base: memory + upload.offered, len: left)
            upload.offered += left
        }
        if upload.offered == upload.pieces.count, upload.isComplete {
            flags.pointee = UInt32(NGHTTP3_DATA_FLAG_EOF)
            if let trailers = upload.trailers {
                flags.pointee |= UInt32(NGHTTP3_DATA_FLAG_NO_END_STREAM)
                _ = withFields(trailers) { nghttp3_conn_submit_trailers(http, id, $0, $1) }
            }
            return left > 0 ? 1 : 0
        }
        return left > 0 ? 1 : Int(NGHTTP3_ERR_WOULDBLOCK)
    }

    func withFields(_ headers: Headers, _ body: (UnsafePointer<nghttp3_nv>, Int) -> Int32) -> Int32 {
        headers.bytes.withUnsafeBufferPointer { bytes in
            guard let base = bytes.baseAddress else { return body(UnsafePointer(bitPattern: 8)!, 0) }
            let fields = headers.fields.map { field in
                nghttp3_nv(
                    name: base + Int(field.start),
                    value: base + Int(field.start) + Int(field.nameCount),
                    namelen: Int(field.nameCount),
                    valuelen: Int(field.valueCount),
                    flags: 0
                )
            }
            return body(fields, fields.count)
        }
    }

    /// Gives up both halves of a stream.
    func reset(_ id: Int64, _ code: UInt64 = UInt64(NGHTTP3_H3_REQUEST_CANCELLED)) {
        ngtcp2_conn_shutdown_stream(quic, 0, id, code)
        nghttp3_conn_shutdown_stream_write(http, id)
    }

    /// Asks the server to stop sending.
    func stopReading(_ id: Int64, _ code: UInt64 = UInt64(NGHTTP3_H3_REQUEST_CANCELLED)) {
        ngtcp2_conn_shutdown_stream_read(quic, 0, id, code)
    }

    /// Goes on from another address.
    func migrate(to address: SocketAddress, now: Instant) {
        local = address
        withPath { path in
            let status = ngtcp2_conn_initiate_migration(quic, path, now.nanoseconds)
            precondition(status == 0, "the client may migrate")
        }
    }

    /// Puts bytes on a stream past nghttp3: on one of their own, or on one that was begun so.
    @discardableResult
    func sendRaw(_ bytes: [UInt8], bidirectional: Bool = true, on stream: Int64? = nil, fin: Bool) -> Int64 {
        let id = stream ?? openRaw(bidirectional)
        guard id >= 0 else { return id }
        let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: max(1, bytes.count))
        kept.append(memory)
        for (index, byte) in bytes.enumerated() { memory[index] = byte }
        raw.append(Raw(id: id, memory: memory, count: bytes.count, fin: fin))
        return id
    }

    private func openRaw(_ bidirectional: Bool) -> Int64 {
        var id: Int64 = -1
        guard bidirectional else {
            ngtcp2_conn_open_uni_stream(quic, &id, nil)
            return id
        }
        if ngtcp2_conn_open_bidi_stream(quic, &id, nil) == 0 {
            requests += 1
            rawStreams.insert(id)
        }
        return id
    }

    /// Requests that nghttp3 does not know of; what comes back on them is not looked at.
    private var rawStreams: Set<Int64> = []

    private struct Raw {
        let id: Int64
        var memory: UnsafeMutablePointer<UInt8>
        var count: Int
        let fin: Bool
    }

    private var raw: [Raw] = []

    /// Writes a packet of raw streams; nil where there are none.
    private func nextRawPacket(_ now: Instant) -> [UInt8]? {
        while let next = raw.first {
            var buffer = [UInt8](repeating: 0, count: 1452)
            var info = ngtcp2_pkt_info()
            var vector = ngtcp2_vec(base: next.memory, len: next.count)
            var taken: ngtcp2_ssize = -1
            let flags = UInt32(next.fin ? NGTCP2_WRITE_STREAM_FLAG_FIN : NGTCP2_WRITE_STREAM_FLAG_NONE)
            let written = ngtcp2_conn_writev_stream_versioned(
                quic,
                nil,
                NGTCP2_PKT_INFO_VERSION,
                &info,
                &buffer,
                buffer.count,
                &taken,
                flags,
                next.id,
                &vector,
                1,
                now.nanoseconds
            )
            if taken >= 0 {
                raw[0].memory += taken
                raw[0].count -= taken
            }
            if raw[0].count == 0 || written < 0 { raw.removeFirst() }
            guard written >= 0 else { continue }
            return written == 0 ? nil : Array(buffer[0..<written])
        }
        return nil
    }

    /// Opens a stream's window by what has arrived on it.
    func consume(_ id: Int64) {
        let count = responses[id]?.unconsumed ?? 0
        responses[id]?.unconsumed = 0
        ngtcp2_conn_extend_max_stream_offset(quic, id, UInt64(count))
        ngtcp2_conn_extend_max_offset(quic, UInt64(count))
    }

    // MARK: HTTP/3

    func beginHTTP3() -> Int32 {
        guard http == nil else { return 0 }
        var settings = nghttp3_settings()
        nghttp3_settings_default_versioned(NGHTTP3_SETTINGS_VERSION, &settings)
        settings.qpack_max_dtable_capacity = 4096
        settings.qpack_blocked_streams = 100
        var callbacks = TestClientCallbacks.http
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

    // MARK: Datagrams

    func receive(_ datagram: [UInt8], now: Instant) {
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

    var expiry: UInt64 { isOver ? .max : ngtcp2_conn_get_expiry(quic) }

    func handleTimeout(now: Instant) {
        guard !isOver, expiry <= now.nanoseconds else { return }
        let status = ngtcp2_conn_handle_expiry(quic, now.nanoseconds)
        if status != 0 { failure = status }
    }

    /// Every packet that can be sent now.
    func packets(now: Instant) -> [[UInt8]] {
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
    func close(now: Instant, code: UInt64 = UInt64(NGHTTP3_H3_NO_ERROR)) -> [UInt8] {
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
    var serverCloseCode: UInt64? {
        guard failure == NGTCP2_ERR_DRAINING, let error = ngtcp2_conn_get_ccerr(quic) else { return nil }
        return error.pointee.error_code
    }
}

/// An error code as the client reports it.
func code(_ value: some BinaryInteger) -> UInt64? {
    UInt64(exactly: value)
}
