import ApusGateway

/// An application that serves the files of one directory, and nothing outside of it.
///
/// `GET` and `HEAD` with validators, preconditions and single ranges (RFC 9110 §13, §14); `index.html` for directories.
/// What is served: regular files below the root that are reached without a symbolic link and without a name that begins
/// with a dot (but for `.well-known`, RFC 8615). The root itself may be a link; it is opened once, when the value is
/// made, and stays the same directory until the last copy of the value is gone.
public struct StaticFiles: Application {
    private let root: StaticRoot
    /// Whether open files have a path of their own, which `pathSend` can name.
    private let hasDescriptorPaths: Bool

    /// Opens the directory.
    ///
    /// - Parameter root: The directory's path; a relative one counts from the current directory of this moment.
    /// - Throws: ``ConfigurationError`` where it is not a directory that can be opened.
    public init(root: String) throws(ConfigurationError) {
        self.root = try StaticRoot(path: root)
        hasDescriptorPaths = OpenFile.descriptorPathsExist()
    }

    public func callAsFunction(_ scope: Scope, _ receive: Receive, _ send: Send) async throws {
        guard case .http(let request) = scope else {
            // A file is no WebSocket: 403.
            if case .webSocket = scope { try await send(.webSocketClose()) }
            return
        }
        let response = response(to: request)
        try await send(.responseStart(status: response.status, headers: response.headers))
        switch response.body {
        case .bytes(let bytes):
            try await send(.responseBody(bytes))
        case .file(let file) where hasDescriptorPaths && request.extensions.contains(.pathSend):
            // The path names the open descriptor: what was checked is what is sent, whatever has happened to the name.
            defer { withExtendedLifetime(file) {} }
            try await send(.pathSend(path: file.descriptorPath))
        case .file(let file):
            try await sendPieces(of: file, 0..<file.size, send)
        case .part(let file, let range):
            try await sendPieces(of: file, range, send)
        }
    }

    /// A file that gets shorter meanwhile throws, so that the response is seen to be incomplete.
    private func sendPieces(of file: OpenFile, _ range: Range<Int>, _ send: Send) async throws {
        var offset = range.lowerBound
        repeat {
            let end = min(offset + OpenFile.pieceSize, range.upperBound)
            let piece = try file.read(offset..<end)
            offset = end
            try await send(.responseBody(piece, more: offset < range.upperBound))
        } while offset < range.upperBound
    }

    // MARK: - What to answer

    func response(to request: HTTPScope) -> StaticResponse {
        // RFC 9110 §15.5.6: a 405 says what is allowed.
        guard request.method == "GET" || request.method == "HEAD" else {
            return .text("405 Method Not Allowed", status: 405, ["allow": "GET, HEAD"])
        }
        var response: StaticResponse
        do throws(StaticRoot.Refusal) {
            let path = try StaticPath(target: request.rawPath, mountedAt: request.rootPath)
            response = try self.response(to: request, at: path)
        } catch {
            response = error.response
        }
        // RFC 9110 §9.3.2: the head of a GET, without its body.
        if request.method == "HEAD" { response.dropBody() }
        return response
    }

    private func response(
        to request: HTTPScope,
        at path: StaticPath
    ) throws(StaticRoot.Refusal) -> StaticResponse {
        let entry = try root.open(path.segments)
        if entry.isDirectory {
            guard path.endsWithSlash else { return redirect(to: path, query: request.queryString) }
            let index = try root.openIndex(of: entry)
            return fileResponse(to: request, index, contentType: ContentType.of(StaticRoot.indexName))
        }
        // A file is not a directory: the relative links of what is shown there would lead astray.
        guard entry.isRegularFile, !path.endsWithSlash, let name = path.segments.last else {
            throw .notFound
        }
        return fileResponse(to: request, entry, contentType: ContentType.of(name))
    }

    /// Relative links in an index.html need the slash. The location is made from the names that were found: a target
    /// such as `//other.example/` never becomes a location on another host.
    private func redirect(to path: StaticPath, query: Bytes) -> StaticResponse {
        var location = path.location
        if !query.isEmpty { location += [UInt8(ascii: "?")] + query }
        var response = StaticResponse.text("301 Moved Permanently", status: 301)
        response.headers.append("location", Bytes(location))
        return response
    }

    private func fileResponse(to request: HTTPScope, _ file: OpenFile, contentType: String) -> StaticResponse {
        let validators = FileValidators(of: file, now: HTTPDate.now())
        switch Preconditions.evaluate(request.headers, validators) {
        case .failed:
            return .text("412 Precondition Failed", status: 412)
        case .notModified:
            // RFC 9110 §15.4.5: the fields that steer caches, and no body.
            return StaticResponse(status: 304, headers: validators.fields, body: .bytes(Bytes()))
        case .passed:
            break
        }
        // RFC 9110 §14.2: a range is for GET only; If-Range (§13.1.5) asks for the whole of a file that has changed.
        if request.method == "GET", let wanted = request.headers["range"],
            Preconditions.allowsRange(request.headers, validators),
            let range = ByteRange(wanted, of: file.size)
        {
            return partialResponse(range, of: file, validators, contentType: contentType)
        }
        var headers: Headers = ["content-type": contentType, "accept-ranges": "bytes"]
        headers.append(contentsOf: validators.fields)
        return .file(file, headers: headers)
    }

    private func partialResponse(
        _ range: ByteRange,
        of file: OpenFile,
        _ validators: FileValidators,
        contentType: String
    ) -> StaticResponse {
        switch range {
        case .unsatisfiable:
            // RFC 9110 §15.5.17: with the length that there is.
            return .text("416 Range Not Satisfiable", status: 416, ["content-range": "bytes */\(file.size)"])
        case .satisfiable(let bytes):
            var headers: Headers = [
                "content-type": contentType,
                "content-length": String(bytes.count),
                "content-range": "bytes \(bytes.lowerBound)-\(bytes.upperBound - 1)/\(file.size)",
                "accept-ranges": "bytes",
            ]
            headers.append(contentsOf: validators.fields)
            return StaticResponse(status: 206, headers: headers, body: .part(file, bytes))
        }
    }
}
