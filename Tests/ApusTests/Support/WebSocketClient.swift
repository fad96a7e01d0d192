import Foundation
import Synchronization

/// The client's side of a WebSocket over HTTP/1.1, frame by frame: it says what a test wants it to say.
final class WebSocketClient: Sendable {
    struct Frame: Equatable, CustomStringConvertible {
        var opcode: UInt8
        var isFinal = true
        var payload: [UInt8] = []

        var text: String { String(decoding: payload, as: UTF8.self) }
        /// Of a Close frame; nil where it has none.
        var code: Int? { payload.count < 2 ? nil : Int(payload[0]) << 8 | Int(payload[1]) }
        var reason: String { String(decoding: payload.dropFirst(2), as: UTF8.self) }
        var description: String { "frame \(opcode)\(isFinal ? "" : " more") \(payload.count): \(text.prefix(80))" }
    }

    static let continuation: UInt8 = 0
    static let text: UInt8 = 1
    static let binary: UInt8 = 2
    static let close: UInt8 = 8
    static let ping: UInt8 = 9
    static let pong: UInt8 = 10

    /// The example of RFC 6455 §1.3.
    static let key = "dGhlIHNhbXBsZSBub25jZQ=="
    static let accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

    let raw: RawClient

    init(_ raw: RawClient) {
        self.raw = raw
    }

    /// The request that opens a WebSocket.
    static func request(_ target: String = "/", headers: String = "") -> String {
        """
        GET \(target) HTTP/1.1\r\nhost: test\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
        sec-websocket-version: 13\r\nsec-websocket-key: \(key)\r\n\(headers)\r\n
        """
    }

    /// A frame as a client sends it, masked.
    static func bytes(_ opcode: UInt8, _ payload: [UInt8], isFinal: Bool = true) -> [UInt8] {
        let mask: [UInt8] = [0x37, 0xFA, 0x21, 0x3D]
        var bytes = [(isFinal ? 0x80 : 0) | opcode]
        switch payload.count {
        case 0..<126: bytes.append(0x80 | UInt8(payload.count))
        case 126..<65536: bytes += [0x80 | 126] + (0..<2).reversed().map { UInt8(payload.count >> ($0 * 8) & 0xFF) }
        default: bytes += [0x80 | 127] + (0..<8).reversed().map { UInt8(payload.count >> ($0 * 8) & 0xFF) }
        }
        bytes += mask
        bytes += payload.enumerated().map { $1 ^ mask[$0 & 3] }
        return bytes
    }

    static func closePayload(_ code: Int, _ reason: String = "") -> [UInt8] {
        [UInt8(code >> 8 & 0xFF), UInt8(code & 0xFF)] + Array(reason.utf8)
    }

    func send(_ opcode: UInt8, _ payload: [UInt8], isFinal: Bool = true) async throws {
        try await raw.send(Self.bytes(opcode, payload, isFinal: isFinal))
    }

    func send(_ text: String) async throws {
        try await send(Self.text, Array(text.utf8))
    }

    func close(_ code: Int, _ reason: String = "") async throws {
        try await send(Self.close, Self.closePayload(code, reason))
    }

    /// The next frame, as it comes.
    func frame() async throws -> Frame {
        let head = try await raw.take(2)
        var count = Int(head[1] & 0x7F)
        if count >= 126 {
            count = try await raw.take(count == 126 ? 2 : 8).reduce(0) { $0 << 8 | Int($1) }
        }
        return Frame(opcode: head[0] & 0x0F, isFinal: head[0] & 0x80 != 0, payload: try await raw.take(count))
    }

    /// Reads on to the Close frame.
    func closeFrame() async throws -> Frame {
        while true {
            let frame = try await frame()
            if frame.opcode == Self.close { return frame }
        }
    }
}

extension ServerFixture {
    /// An open WebSocket over HTTP/1.1.
    func webSocket(
        _ target: String = "/",
        headers: String = "",
        receiveBuffer: Int32? = nil
    ) async throws -> WebSocketClient {
        let client = try client(receiveBuffer: receiveBuffer)
        try await client.send(WebSocketClient.request(target, headers: headers))
        let response = try await client.response()
        guard response.status == 101 else {
            throw RawClient.Failure(description: "the WebSocket was denied with \(response.status)")
        }
        return WebSocketClient(client)
    }

    /// The answer to a request that opens a WebSocket.
    func answerToOpening(_ target: String = "/", headers: String = "") async throws -> RawResponse {
        let client = try client()
        try await client.send(WebSocketClient.request(target, headers: headers))
        return try await client.response()
    }
}
