import ApusGateway

/// Writes response heads and chunks as bytes, each in one piece of room in the output (RFC 9112 §4, §7.1).
enum ResponseSerializer {
    /// How the recipient learns where the body ends.
    enum Framing {
        /// By the status, the method, or a `content-length` that is among the fields.
        case stated
        /// By a `content-length: 0` that is not among the fields.
        case empty
        case chunked
        case untilClose
        /// There is no body: a tunnel begins (RFC 9110 §8.6: no `content-length`).
        case tunnel
    }

    /// The `connection` field of the response.
    enum ConnectionField {
        case none
        case close
        case keepAlive
        case upgrade
        /// The connection can be upgraded, and closes otherwise.
        case upgradeOrClose

        var line: StaticString {
            switch self {
            case .none: ""
            case .close: "connection: close\r\n"
            case .keepAlive: "connection: keep-alive\r\n"
            case .upgrade: "connection: Upgrade\r\nupgrade: websocket\r\n"
            case .upgradeOrClose: "connection: Upgrade, close\r\nupgrade: websocket\r\n"
            }
        }
    }

    /// Writes a final response's head; with `chunked` or `tunnel`, a `content-length` among the fields is left out.
    static func write(
        _ head: ResponseHead,
        framing: Framing,
        connection: ConnectionField,
        to output: inout OutputBuffer
    ) {
        let framingLine = line(framing)
        let size = room(head.headers) + room(head.defaults) + framingLine.utf8CodeUnitCount
        output.withRoom(for: size + statusLineRoom + connection.line.utf8CodeUnitCount + 2) { room in
            var writer = Writer(room)
            writer.statusLine(head.status)
            if excludesContentLength(framing, head) {
                writer.fields(head.headers.filtered { name, _ in !FieldRules.equals(name, "content-length") })
            } else {
                writer.fields(head.headers)
            }
            writer.fields(head.defaults)
            writer.text(framingLine)
            writer.text(connection.line)
            writer.text("\r\n")
            return writer.used
        }
    }

    private static func excludesContentLength(_ framing: Framing, _ head: ResponseHead) -> Bool {
        switch framing {
        case .chunked: head.contentLength != nil
        case .tunnel: true
        case .stated, .empty, .untilClose: false
        }
    }

    /// Writes a 1xx response, or trailers when `status` is nil.
    static func write(status: Int?, _ fields: Headers, to output: inout OutputBuffer) {
        output.withRoom(for: statusLineRoom + room(fields) + 2) { room in
            var writer = Writer(room)
            if let status { writer.statusLine(status) }
            writer.fields(fields)
            writer.text("\r\n")
            return writer.used
        }
    }

    /// Writes the size line of a chunk.
    static func writeChunkSize(_ count: Int, to output: inout OutputBuffer) {
        output.withRoom(for: 18) { room in
            var writer = Writer(room)
            writer.hexadecimal(count)
            writer.text("\r\n")
            return writer.used
        }
    }

    /// Version, status, spaces, the longest phrase and CRLF.
    private static let statusLineRoom = 64

    private static func line(_ framing: Framing) -> StaticString {
        switch framing {
        case .stated, .untilClose, .tunnel: ""
        case .empty: "content-length: 0\r\n"
        case .chunked: "transfer-encoding: chunked\r\n"
        }
    }

    private static func room(_ headers: Headers) -> Int {
        headers.byteCount + 4 * headers.count
    }

    /// Fills a buffer from its start; every piece was counted when the room was asked for.
    private struct Writer {
        private let room: UnsafeMutableRawBufferPointer
        private(set) var used = 0

        init(_ room: UnsafeMutableRawBufferPointer) {
            self.room = room
        }

        mutating func bytes(_ bytes: UnsafeRawBufferPointer) {
            UnsafeMutableRawBufferPointer(rebasing: room[used..<used + bytes.count]).copyMemory(from: bytes)
            used += bytes.count
        }

        mutating func text(_ text: StaticString) {
            bytes(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
        }

        mutating func byte(_ byte: UInt8) {
            room[used] = byte
            used += 1
        }

        mutating func statusLine(_ status: Int) {
            text("HTTP/1.1 ")
            digit(status / 100)
            digit(status / 10)
            digit(status)
            byte(0x20)
            text(StatusText.phrase(status))
            text("\r\n")
        }

        private mutating func digit(_ number: Int) {
            byte(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: number % 10))
        }

        mutating func fields(_ headers: Headers) {
            headers.bytes.withUnsafeBytes { all in
                for field in headers.fields {
                    bytes(UnsafeRawBufferPointer(rebasing: all[field.nameRange]))
                    text(": ")
                    bytes(UnsafeRawBufferPointer(rebasing: all[field.valueRange]))
                    text("\r\n")
                }
            }
        }

        mutating func hexadecimal(_ number: Int) {
            var shift = max(0, (Int.bitWidth - number.leadingZeroBitCount - 1) / 4 * 4)
            while shift >= 0 {
                let digit = UInt8(truncatingIfNeeded: number >> shift & 0xF)
                byte(digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10)
                shift -= 4
            }
        }
    }
}
