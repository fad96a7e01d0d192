import ApusGateway
import ApusHTTP
import CNghttp3
import CNgtcp2

extension HTTP3Client {
    /// A request body: what is there, and whether more comes.
    package struct Upload {
        fileprivate let first: [UInt8]
        package fileprivate(set) var isComplete: Bool
        package var trailers: Headers?
        fileprivate var pieces: [UnsafeMutableBufferPointer<UInt8>] = []
        private var index = 0
        private var start = 0
        /// Bytes that nghttp3 has taken.
        package private(set) var offered = 0

        package init(pieces: [UInt8] = [], isComplete: Bool = true, trailers: Headers? = nil) {
            first = pieces
            self.isComplete = isComplete
            self.trailers = trailers
        }

        /// What goes with the next DATA frame.
        fileprivate var nextPiece: UnsafeMutableBufferPointer<UInt8>? {
            guard index < pieces.count else { return nil }
            let piece = pieces[index]
            let end = min(piece.count, start + 16 * 1024)
            return UnsafeMutableBufferPointer(rebasing: piece[start..<end])
        }

        fileprivate mutating func advance(by count: Int) {
            offered += count
            start += count
            guard start == pieces[index].count else { return }
            index += 1
            start = 0
        }
    }

    // MARK: Requests

    /// Sends a request as soon as the handshake allows.
    ///
    /// - Returns: The ordinal of the request; its stream is four times that.
    @discardableResult
    package func request(
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
            submit(id, pseudo ?? HTTP3Client.pseudo(method, path), fields, upload)
        }
        if http == nil { waiting.append(send) } else { send() }
        return id
    }

    package static func pseudo(_ method: String, _ path: String) -> [(String, String)] {
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
            if !upload.first.isEmpty { uploads[id]?.pieces.append(keep(upload.first)) }
        }
        let status = withFields(all) { fields, count in
            nghttp3_conn_submit_request(
                http,
                id,
                fields,
                count,
                upload == nil ? nil : HTTP3ClientCallbacks.reader,
                nil
            )
        }
        precondition(status == 0, "nghttp3 takes a request")
    }

    /// Adds a piece to a request body, which goes as a DATA frame of its own.
    package func upload(_ bytes: [UInt8], end: Bool, on id: Int64) {
        if !bytes.isEmpty { uploads[id]?.pieces.append(keep(bytes)) }
        uploads[id]?.isComplete = end
        nghttp3_conn_resume_stream(http, id)
    }

    /// Whether nghttp3 has taken all of a request body that was given so far.
    package func hasTakenUpload(on id: Int64) -> Bool {
        uploads[id]?.nextPiece == nil
    }

    func nextUpload(
        _ id: Int64,
        _ vectors: UnsafeMutablePointer<nghttp3_vec>,
        _ flags: UnsafeMutablePointer<UInt32>
    ) -> Int {
        guard var upload = uploads[id] else { return Int(NGHTTP3_ERR_CALLBACK_FAILURE) }
        defer { uploads[id] = upload }
        let piece = upload.nextPiece
        if let piece {
            vectors[0] = nghttp3_vec(base: piece.baseAddress, len: piece.count)
            upload.advance(by: piece.count)
        }
        if upload.nextPiece == nil, upload.isComplete {
            flags.pointee = UInt32(NGHTTP3_DATA_FLAG_EOF)
            if let trailers = upload.trailers {
                flags.pointee |= UInt32(NGHTTP3_DATA_FLAG_NO_END_STREAM)
                _ = withFields(trailers) { nghttp3_conn_submit_trailers(http, id, $0, $1) }
            }
            return piece == nil ? 0 : 1
        }
        return piece == nil ? Int(NGHTTP3_ERR_WOULDBLOCK) : 1
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
    package func reset(_ id: Int64, _ code: UInt64 = UInt64(NGHTTP3_H3_REQUEST_CANCELLED)) {
        ngtcp2_conn_shutdown_stream(quic, 0, id, code)
        nghttp3_conn_shutdown_stream_write(http, id)
    }

    /// Asks the server to stop sending.
    package func stopReading(_ id: Int64, _ code: UInt64 = UInt64(NGHTTP3_H3_REQUEST_CANCELLED)) {
        ngtcp2_conn_shutdown_stream_read(quic, 0, id, code)
    }

    /// Goes on from another address.
    package func migrate(to address: SocketAddress, now: Instant) {
        local = address
        withPath { path in
            let status = ngtcp2_conn_initiate_migration(quic, path, now.nanoseconds)
            precondition(status == 0, "the client may migrate")
        }
    }

    /// Opens a stream's window by what has arrived on it.
    package func consume(_ id: Int64) {
        let count = responses[id]?.unconsumed ?? 0
        responses[id]?.unconsumed = 0
        ngtcp2_conn_extend_max_stream_offset(quic, id, UInt64(count))
        ngtcp2_conn_extend_max_offset(quic, UInt64(count))
    }
}
