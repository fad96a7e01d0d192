import ApusGateway
import ApusHTTP
import ApusTransport
import Foundation
import Testing

@testable import Apus

@Suite("The sockets of all slots", .timeLimit(.minutes(5)))
struct ServerSocketsTests {
    private func configuration(_ bind: Bind = .address(host: "127.0.0.1", port: 0)) throws -> Configuration {
        var configuration = Configuration()
        configuration.binds = [bind]
        configuration.insecureBinds = [.address(host: "localhost", port: 0)]
        configuration.tls = try TestCertificate.shared()
        return configuration
    }

    @Test func `every address has a socket for each slot, on one port`() throws {
        let sockets = try ServerSockets.open(try configuration(), slotCount: 4)
        #expect(sockets.warnings == [])
        let port = try #require(sockets.listeners.first?.address.port)
        for slot in 0..<4 {
            let entries = sockets.sockets(of: slot).entries
            let first = entries.filter { $0.place == 0 }
            #expect(first.map(\.socket.kind) == [.tcp, .udp])
            #expect(first.allSatisfy { $0.socket.port == UInt16(port) && $0.isSecure && !$0.isShared })
            #expect(entries.filter { $0.place == 1 }.allSatisfy { $0.socket.kind == .tcp && !$0.isSecure })
        }
        #expect(Set(sockets.all.map(\.descriptor)).count == sockets.all.count)
    }

    @Test func `of a unix socket it is told whether it speaks TLS`() throws {
        let path = NSTemporaryDirectory() + "apus-\(UUID().uuidString.prefix(8)).sock"
        var configuration = try configuration(.unix(path: path))
        configuration.insecureBinds = [.unix(path: path + ".plain")]
        let sockets = try ServerSockets.open(configuration, slotCount: 1)
        defer { for socket in sockets.all { socket.close() } }
        let told = ["unix:\(path) (HTTP/1.1, HTTP/2 over TLS)", "unix:\(path).plain (HTTP/1.1, HTTP/2)"]
        #expect(sockets.listeners.map(\.description) == told)
    }

    @Test func `a name that is not known is told before any port is opened`() throws {
        var configuration = try configuration()
        let path = NSTemporaryDirectory() + "apus-\(UUID().uuidString.prefix(8)).sock"
        configuration.binds = [.unix(path: path)]
        configuration.insecureBinds = [.address(host: "no.such.host.invalid", port: 1)]
        let error = #expect(throws: ConfigurationError.self) { try ServerSockets.open(configuration, slotCount: 1) }
        #expect(error?.option == "--insecure-bind")
        #expect(!FileManager.default.fileExists(atPath: path))
    }

    @Test("A group is not joined by another of the same user", arguments: [1, 2, 4], [1, 4])
    func taken(_ slots: Int, _ others: Int) throws {
        let sockets = try ServerSockets.open(try configuration(), slotCount: slots)
        let port = try #require(sockets.listeners.first?.address.port)
        for versions: Set<Configuration.HTTPProtocol> in [[.http1], [.http3], [.http2, .http3]] {
            var second = try configuration(.address(host: "127.0.0.1", port: port))
            second.insecureBinds = []
            second.protocols = versions
            #expect(throws: BindError.self) { try ServerSockets.open(second, slotCount: others) }
        }
    }

    @Test func `a place that is taken is told with the option that it comes from`() throws {
        let taken = try ServerSockets.open(try configuration(), slotCount: 1)
        let port = try #require(taken.listeners.first?.address.port)
        let bind = Bind.address(host: "127.0.0.1", port: port)
        let secure = try configuration(bind)
        var insecure = try configuration()
        insecure.insecureBinds = [bind]
        for (configuration, option) in [(secure, "--bind"), (insecure, "--insecure-bind")] {
            let error = #expect(throws: BindError.self) { try ServerSockets.open(configuration, slotCount: 2) }
            #expect(error?.description == "\(option): cannot listen at 127.0.0.1:\(port): Address already in use")
        }
        for socket in taken.all { socket.close() }
    }

    @Test func `a later image of the process finds the same sockets`() throws {
        let path = NSTemporaryDirectory() + "apus-\(UUID().uuidString.prefix(8)).sock"
        let sockets = try ServerSockets.open(try configuration(.unix(path: path)), slotCount: 2)
        let again = try ServerSockets(
            encoded: sockets.encoded,
            descriptors: sockets.descriptors.map { dup($0) }
        )
        #expect(again.listeners == sockets.listeners)
        #expect(again.slotCount == 2)
        #expect(again.all.map(\.kind) == sockets.all.map(\.kind))
        #expect(again.all.map(\.address) == sockets.all.map(\.address))
        // The file is the later image's to remove.
        again.close()
        #expect(!FileManager.default.fileExists(atPath: path))
        #expect(throws: StateError.self) { try ServerSockets(encoded: sockets.encoded, descriptors: []) }
        #expect(throws: StateError.self) { try ServerSockets(encoded: [1, 2, 3], descriptors: []) }
        #expect(throws: StateError.self) {
            try ServerSockets(
                encoded: sockets.encoded.dropLast(1) + [],
                descriptors: sockets.descriptors.map { dup($0) }
            )
        }
    }

    @Test func `a worker's sockets and secrets arrive as they were`() async throws {
        let sockets = try ServerSockets.open(try configuration(), slotCount: 2).sockets(of: 1)
        let again = try SlotSockets(encoded: sockets.encoded, descriptors: sockets.descriptors.map { dup($0) })
        #expect(again.entries.map(\.place) == sockets.entries.map(\.place))
        #expect(again.entries.map(\.isSecure) == sockets.entries.map(\.isSecure))
        #expect(again.entries.map(\.isShared) == sockets.entries.map(\.isShared))
        #expect(throws: StateError.self) { try SlotSockets(encoded: sockets.encoded, descriptors: []) }
        // What cannot be taken over is closed, with all that came with it.
        for (encoded, count) in [(sockets.encoded, 1), (sockets.encoded + [0], 0), ([], 0)] {
            let pipes = try sockets.descriptors.dropFirst(count).map { _ in try Self.makePipe() }
            let descriptors = sockets.descriptors.prefix(count).map { dup($0) } + pipes.map(\.reader)
            #expect(throws: (any Error).self) { try SlotSockets(encoded: encoded, descriptors: descriptors) }
            for pipe in pipes {
                // A process that is being spawned meanwhile has it for a moment.
                try await expectEventually { Self.hasNoReader(pipe.writer) }
                close(pipe.writer)
            }
        }

        let secrets = ServerSecrets.random()
        let copy = try #require(ServerSecrets(encoded: secrets.encoded))
        #expect(copy.encoded == secrets.encoded)
        #expect(copy.steeringKey == secrets.steeringKey)
        #expect(ServerSecrets.random().encoded != secrets.encoded)
        #expect(ServerSecrets(encoded: secrets.encoded.dropLast(1) + []) == nil)
        #expect(ServerSecrets(encoded: secrets.encoded + [0]) == nil)
        #expect("\(secrets)" == "ServerSecrets")
    }

    private static func makePipe() throws -> (reader: Int32, writer: Int32) {
        var ends: [Int32] = [-1, -1]
        try #require(pipe(&ends) == 0)
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        return (ends[0], ends[1])
    }

    private static func hasNoReader(_ writer: Int32) -> Bool {
        var end = pollfd(fd: writer, events: 0, revents: 0)
        return poll(&end, 1, 0) == 1 && end.revents & Int16(POLLERR) != 0
    }

    @Test func `open ports for TLS are not served without a certificate`() async throws {
        let configuration = try configuration()
        let sockets = try ServerSockets.open(configuration, slotCount: 1)
        let server = Server(
            configuration: configuration,
            application: ClosureApplication { _, _, _ in },
            logger: LogRecorder().logger,
            membership: Membership(
                slot: 0,
                slotCount: 1,
                sockets: sockets.sockets(of: 0),
                secrets: .random(),
                identity: nil,
                forwarding: nil
            )
        )
        await #expect(throws: ConfigurationError.self) { try await server.run() }
    }
}
