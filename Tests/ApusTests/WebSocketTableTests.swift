import Apus
import ApusGateway
import ApusHTTP
import ApusTestClients
import Foundation
import Synchronization
import Testing

/// The table of cases against the whole server, over each opening.
@Suite struct WebSocketTableTests {
    enum Opening: CaseIterable {
        case upgrade
        case http2
        case http3

        func connector(port: Int) throws -> any WebSocketConnector {
            let server = try #require(SocketAddress(literal: "127.0.0.1", port: UInt16(port)))
            let deadline = Instant.now + .seconds(WebSocketTable.patience)
            return switch self {
            case .upgrade: UpgradeConnector(server: server)
            case .http2: try HTTP2Connector(server: server, until: deadline)
            case .http3: try HTTP3Connector(server: server, until: deadline)
            }
        }
    }

    /// A run of all cases: how the application takes messages, and how the client cuts what it sends.
    struct Run: Sendable {
        let path: String
        let delivery: WebSocketDelivery
        let cutting: WebSocketPeer.Cutting
    }

    static let runs = [
        Run(path: "/messages/whole", delivery: .messages, cutting: .whole),
        Run(path: "/messages/pieces", delivery: .messages, cutting: .pieces(seed: 1)),
        Run(path: "/fragments/whole", delivery: .fragments, cutting: .whole),
        Run(path: "/fragments/pieces", delivery: .fragments, cutting: .pieces(seed: 2)),
    ]

    static let cases = WebSocketCases.all

    @Test(.timeLimit(.minutes(5)), arguments: Opening.allCases)
    func `Every case comes to what it must, for the client and for the application`(opening: Opening) async throws {
        let echo = TableApplication()
        let configure: (inout Configuration) -> Void = { configuration in
            configuration.webSocket = Self.options
            if opening == .http3 { configuration.tls = try? TestCertificate.shared() }
        }
        try await withServer(configure, application: echo.run) { fixture in
            for run in Self.runs {
                let failures = try await onThread { [port = fixture.port] in
                    let table = WebSocketTable(
                        connector: try opening.connector(port: port),
                        cutting: run.cutting,
                        path: run.path,
                        repliesAreWhole: run.delivery == .messages
                    )
                    return table.run(Self.cases)
                }
                for failure in failures { Issue.record("\(run.path), \(failure)") }
                guard failures.isEmpty else { continue }
                for (index, item) in Self.cases.enumerated() {
                    let name = "\(run.path)?\(index)"
                    try await expectEventually { echo.code(name) != nil }
                    let code = try #require(echo.code(name))
                    #expect(item.applicationCodes.contains(code), "\(run.path), \(item.name)")
                }
            }
        }
    }

    @Test func `Every case has a name of its own`() {
        #expect(Set(Self.cases.map(\.name)).count == Self.cases.count)
    }

    private static var options: WebSocketOptions {
        var options = WebSocketOptions()
        options.maxMessageSize = TableLimits.messageSize
        options.maxFrameSize = TableLimits.frameSize
        options.maxFragments = TableLimits.fragments
        options.controlFrameBurst = TableLimits.controlFrameBurst
        // Enough for a context of the largest window in each direction.
        options.maxCompressionMemory = 1024 * 1024
        // What the server says is to be an answer to what the client has said.
        options.pingInterval = nil
        return options
    }
}

/// Echoes each message, and remembers with which code each WebSocket has ended.
private final class TableApplication: Sendable {
    private let codes = Mutex<[String: Int]>([:])

    /// The code of the WebSocket with this path and query; nil before its end.
    func code(_ name: String) -> Int? { codes.withLock { $0[name] } }

    @Sendable func run(_ scope: Scope, _ receive: Receive, _ send: Send) async throws {
        guard case .webSocket(let scope) = scope else {
            try await send(.responseStart(status: 200))
            try await send(.responseBody("plain"))
            return
        }
        let run = WebSocketTableTests.runs.first { $0.path == scope.path }
        try await send(.webSocketAccept(delivery: run?.delivery ?? .messages))
        while true {
            switch try await receive() {
            case .webSocketReceive(let message, let more):
                // Where the client is gone, `receive` tells why.
                try? await send(.webSocketSend(message, more: more))
            case .webSocketDisconnect(let code, _):
                let name = scope.path + "?" + String(decoding: scope.queryString, as: UTF8.self)
                codes.withLock { $0[name] = code.rawValue }
                return
            default: break
            }
        }
    }
}
