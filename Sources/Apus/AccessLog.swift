import ApusGateway
import ApusHTTP
import ApusTransport
import Logging

/// One line for each request, in the manner of the peers: who, what, the status, the bytes of the body and the time.
///
/// A WebSocket has one for its opening and one for its end, with the close code in place of the status.
struct AccessLog {
    private let logger: Logger

    init(logger: Logger) {
        self.logger = logger
    }

    func log(_ stream: RequestStream) {
        // A response that never began, because the client left first, has no status.
        log(stream, stream.requestLine, stream.status == 0 ? "-" : String(stream.status))
    }

    func logEnd(ofWebSocket stream: RequestStream, _ code: WebSocketCloseCode) {
        log(stream, "WEBSOCKET \(stream.targetAndVersion)", code.description)
    }

    private func log(_ stream: RequestStream, _ request: String, _ status: String) {
        let milliseconds = Double(stream.loop.refreshNow().since(stream.startedAt).nanoseconds) / 1e6
        let client = stream.scope.client?.description ?? "-"
        let tenths = Int((milliseconds * 10).rounded())
        logger.info("\(client) \"\(request)\" \(status) \(stream.sentBytes) \(tenths / 10).\(tenths % 10)ms")
    }

    /// Bytes of the peer's for a log line: what is not printable ASCII, and quotes, as `\xNN`.
    static func escaped(_ bytes: Bytes) -> String {
        var text = ""
        text.reserveCapacity(bytes.count)
        for byte in bytes {
            if byte > 0x20 && byte < 0x7F && byte != UInt8(ascii: "\"") && byte != UInt8(ascii: "\\") {
                text.unicodeScalars.append(Unicode.Scalar(byte))
            } else {
                let digits = String(byte, radix: 16)
                text += digits.count == 1 ? "\\x0" + digits : "\\x" + digits
            }
        }
        return text
    }
}
