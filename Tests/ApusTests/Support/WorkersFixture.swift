import ApusTransport
import Foundation
import Logging
import Synchronization
import Testing

@testable import Apus

/// Workers of one server, in this process: each has the sockets of its slot under descriptors of its own, as the workers
/// of a supervisor have them in theirs.
final class WorkersFixture: Sendable {
    let configuration: Configuration
    let secrets = ServerSecrets.random()
    let sockets: ServerSockets
    let slotCount: Int
    private let pairs: ForwardingPairs
    private let running = Mutex<[ServerFixture]>([])

    init(slotCount: Int, _ configure: (inout Configuration) -> Void = { _ in }) throws {
        var configuration = Configuration()
        configuration.binds = [.address(host: "127.0.0.1", port: 0)]
        configuration.tls = try TestCertificate.shared()
        configuration.accessLog = false
        configure(&configuration)
        self.configuration = configuration
        self.slotCount = slotCount
        sockets = try ServerSockets.open(configuration, slotCount: slotCount)
        pairs = try ForwardingPairs(slotCount: slotCount)
    }

    var port: Int { sockets.listeners.first?.address.port ?? 0 }

    /// Tells the kernel where what is new goes, and (as a supervisor does) the workers; returns when all know.
    func steer(_ slots: [Int]) async throws {
        try sockets.steer(newcomers: slots, key: secrets.steeringKey, slotCount: slotCount)
        for worker in running.withLock({ $0 }) {
            worker.server.setNewcomers(slots)
            await withCheckedContinuation { continuation in
                worker.server.report { _ in continuation.resume() }
            }
        }
    }

    /// What a process of its own gets of a slot.
    func socketsOfItsOwn(_ slot: Int) throws -> SlotSockets {
        let sockets = sockets.sockets(of: slot)
        return try SlotSockets(encoded: sockets.encoded, descriptors: sockets.descriptors.map { dup($0) })
    }

    /// Starts the worker of a slot. The lifespan scope is answered here unless `lifespan` is set.
    func start(
        _ slot: Int,
        lifespan: Bool = false,
        application: @escaping TestApplication
    ) async throws -> ServerFixture {
        let log = LogRecorder()
        let membership = Membership(
            slot: slot,
            slotCount: slotCount,
            sockets: try socketsOfItsOwn(slot),
            secrets: try #require(ServerSecrets(encoded: secrets.encoded)),
            identity: try ServerIdentity.load(configuration, secrets),
            forwarding: pairs.forwarding(of: slot)
        )
        let server = Server(
            configuration: configuration,
            application: ClosureApplication { scope, receive, send in
                if case .lifespan = scope, !lifespan { return }
                try await application(scope, receive, send)
            },
            logger: log.logger,
            membership: membership
        )
        let run = Task { try await server.run() }
        let fixture = ServerFixture(server: server, listeners: try await server.listeners(), run: run, log: log)
        running.withLock { $0.append(fixture) }
        return fixture
    }

    /// Starts the worker of a slot, which answers with the slot's number.
    func start(_ slot: Int) async throws -> ServerFixture {
        try await start(slot) { scope, _, send in
            guard case .http = scope else { return }
            try await send(.responseStart(status: 200))
            try await send(.responseBody(Bytes("slot \(slot)")))
        }
    }

    /// Has a worker read another slot, too.
    func adopt(_ slot: Int, by worker: ServerFixture) throws {
        let receiver = dup(pairs.forwarding(of: slot).receiver)
        worker.server.adopt(slot, try socketsOfItsOwn(slot), receiver: receiver)
    }

    /// Whether datagrams that were forwarded to a slot wait to be read.
    func hasForwarded(to slot: Int) -> Bool {
        var receiver = pollfd(fd: pairs.forwarding(of: slot).receiver, events: Int16(POLLIN), revents: 0)
        return poll(&receiver, 1, 0) == 1
    }

    /// Ends a worker at once.
    func end(_ worker: ServerFixture) async {
        running.withLock { $0.removeAll { $0.server === worker.server } }
        worker.server.shutdown()
        worker.server.shutdown()
        _ = await worker.run.result
    }

    func endAll() async {
        for worker in running.withLock({ $0 }) { await end(worker) }
    }
}

/// Runs `body` with workers to be started, and ends them then.
func withWorkers(
    slotCount: Int,
    _ configure: (inout Configuration) -> Void = { _ in },
    _ body: (WorkersFixture) async throws -> Void
) async throws {
    let workers = try WorkersFixture(slotCount: slotCount, configure)
    do {
        try await body(workers)
    } catch {
        await workers.endAll()
        throw error
    }
    await workers.endAll()
}

/// Asks with curl over HTTPS; gives the body, or what curl's failure was.
func ask(_ port: Int, _ arguments: String..., path: String = "/") async throws -> String {
    let result = try await runCurl(arguments + ["https://127.0.0.1:\(port)\(path)"])
    return result.exitCode == 0 ? result.text : "curl: \(result.exitCode)"
}
