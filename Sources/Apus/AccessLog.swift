import ApusGateway
import ApusHTTP
import ApusTransport
import Logging

/// One line for each request, in the manner of the peers: who, what, the status, the bytes of the body and the time.
struct AccessLog {
    private let logger: Logger

    init(logger: Logger) {
        self.logger = logger
    }

    func log(_ stream: RequestStream) {
        let milliseconds = Double(stream.loop.refreshNow().since(stream.startedAt).nanoseconds) / 1e6
        let client = stream.scope.client?.description ?? "-"
        // A response that never began, because the client left first, has no status.
        let status = stream.status == 0 ? "-" : String(stream.status)
        let tenths = Int((milliseconds * 10).rounded())
        logger.info(
            "\(client) \"\(stream.requestLine)\" \(status) \(stream.sentBytes) \(tenths / 10).\(tenths % 10)ms"
        )
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
