import Apus
import ApusGateway
import Foundation
import Logging
import Testing

/// A real server on loopback, for the length of a test.
struct ServerFixture: Sendable {
    let server: Server
    let listeners: [Listener]
    let run: Task<Void, any Error>
    let log: LogRecorder

    /// The port of the first TCP listener, plaintext or TLS.
    var port: Int { listeners.first?.address.port ?? 0 }

    /// A client that is connected to the first listener.
    func client(receiveBuffer: Int32? = nil) throws -> RawClient {
        try RawClient(port: port, receiveBuffer: receiveBuffer)
    }

    /// The answer to one request on a connection of its own.
    func get(_ target: String = "/", headers: String = "", method: String = "GET") async throws -> RawResponse {
        let client = try client()
        try await client.send("\(method) \(target) HTTP/1.1\r\nhost: test\r\n\(headers)\r\n")
        return try await client.response(isHead: method == "HEAD")
    }

    /// Runs curl against the first listener.
    func curl(_ arguments: String..., target: String = "/") async throws -> CurlResult {
        let scheme = listeners.first?.isSecure == true ? "https" : "http"
        return try await runCurl(arguments + ["\(scheme)://127.0.0.1:\(port)\(target)"])
    }
}

typealias TestApplication = @Sendable (Scope, Receive, Send) async throws -> Void

/// Serves the application while `body` runs, and ends the server then.
///
/// The lifespan scope is answered here unless `lifespan` is set: most tests are about requests.
func withServer(
    _ configure: (inout Configuration) -> Void = { _ in },
    lifespan: Bool = false,
    application: @escaping TestApplication,
    _ body: (ServerFixture) async throws -> Void
) async throws {
    let fixture = try await startServer(configure, lifespan: lifespan, application: application)
    do {
        try await body(fixture)
    } catch {
        await end(fixture)
        throw error
    }
    await end(fixture)
}

/// Starts a server; the caller ends it.
func startServer(
    _ configure: (inout Configuration) -> Void = { _ in },
    lifespan: Bool = false,
    application: @escaping TestApplication
) async throws -> ServerFixture {
    var configuration = Configuration()
    configuration.binds = [.address(host: "127.0.0.1", port: 0)]
    configuration.accessLog = false
    // A machine with other work to do may take longer than these: tests that are about them set their own.
    configuration.webSocket.pingInterval = nil
    configuration.webSocket.closeTimeout = 120
    configure(&configuration)
    let log = LogRecorder()
    let server = Server(
        configuration: configuration,
        application: ClosureApplication { scope, receive, send in
            if case .lifespan = scope, !lifespan { return }
            try await application(scope, receive, send)
        },
        logger: log.logger
    )
    let run = Task { try await server.run() }
    return ServerFixture(server: server, listeners: try await server.listeners(), run: run, log: log)
}

private func end(_ fixture: ServerFixture) async {
    fixture.server.shutdown()
    fixture.server.shutdown()
    _ = await fixture.run.result
}

/// What one request to an application is answered with.
func answer(
    to headers: String = "",
    method: String = "GET",
    _ configure: (inout Configuration) -> Void = { _ in },
    by application: @escaping TestApplication
) async throws -> RawResponse {
    var response: RawResponse?
    try await withServer(configure, application: application) { fixture in
        response = try await fixture.get(headers: headers, method: method)
    }
    return try #require(response)
}

/// A body of one byte, over and over; made quickly, for it is the loop's time that is spent.
func filler(_ count: Int, _ byte: UInt8 = 1) -> Bytes {
    Bytes(count: count) { $0.initializeMemory(as: UInt8.self, repeating: byte) }
}
