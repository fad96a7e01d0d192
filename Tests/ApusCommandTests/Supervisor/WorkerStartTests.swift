import Apus
import ApusHTTP
import ApusTransport
import Glibc
import Testing

@testable import ApusCommand

/// A worker starts with all that its supervisor has told it, and not with less.
struct WorkerStartTests {
    private let supervisor: ControlChannel
    private let worker: ControlChannel
    private let secrets = ServerSecrets.random()
    private let sockets: SlotSockets
    private let allSockets: ServerSockets

    init() throws {
        let (first, second) = try ControlSocket.pair()
        supervisor = ControlChannel(first)
        worker = ControlChannel(second)
        var configuration = Configuration()
        configuration.binds = [.address(host: "127.0.0.1", port: 0)]
        allSockets = try ServerSockets.open(configuration, slotCount: 2)
        sockets = allSockets.sockets(of: 1)
    }

    private func greet(_ secrets: [UInt8], descriptors: Int) {
        let greeting = WorkerGreeting(slot: 1, slotCount: 2, index: 0, id: 5, secrets: secrets)
        supervisor.send(.hello(greeting), Array(repeating: STDERR_FILENO, count: descriptors))
    }

    private func failure() -> String? {
        do throws(WorkerStartError) {
            _ = try WorkerStart.receive(from: worker)
            return nil
        } catch {
            return error.description
        }
    }

    @Test func `a worker has its slot, its sockets, the secrets, and a way to every slot`() throws {
        greet(secrets.encoded, descriptors: 3)
        supervisor.send(.sockets(slot: 1, encoded: sockets.encoded), sockets.descriptors)
        supervisor.send(.newcomers([1]))
        supervisor.send(.start)
        let start = try WorkerStart.receive(from: worker)
        #expect(start.greeting.slot == 1 && start.greeting.slotCount == 2 && start.greeting.id == 5)
        #expect(start.secrets.encoded == secrets.encoded)
        #expect(start.newcomers == [1])
        #expect(start.forwarding.senders.count == 2)
        #expect(start.sockets.entries.map(\.socket.address) == sockets.entries.map(\.socket.address))
        for descriptor in [start.forwarding.receiver] + start.forwarding.senders {
            #expect(fcntl(descriptor, F_GETFD) == FD_CLOEXEC)
            close(descriptor)
        }
    }

    @Test func `a worker does not start before all is said`() {
        greet(secrets.encoded, descriptors: 3)
        supervisor.send(.start)
        #expect(failure()?.hasSuffix("it has not said everything") == true)
    }

    @Test func `a worker does not start with secrets that it does not understand`() {
        greet([1, 2, 3], descriptors: 3)
        supervisor.send(.sockets(slot: 1, encoded: sockets.encoded), sockets.descriptors)
        supervisor.send(.start)
        #expect(failure()?.hasSuffix("it has other secrets than this version") == true)
    }

    @Test(arguments: [0, 2, 4])
    func `a worker does not start without a way to every slot`(descriptors: Int) {
        greet(secrets.encoded, descriptors: descriptors)
        supervisor.send(.sockets(slot: 1, encoded: sockets.encoded), sockets.descriptors)
        supervisor.send(.start)
        #expect(failure()?.hasSuffix("it has handed over \(descriptors) descriptors for 2 slots") == true)
    }

    @Test func `a worker does not start with sockets that are none`() {
        greet(secrets.encoded, descriptors: 3)
        supervisor.send(.sockets(slot: 1, encoded: sockets.encoded), [STDERR_FILENO])
        #expect(failure() != nil)
    }

    @Test func `a worker does not start when its supervisor is gone`() {
        greet(secrets.encoded, descriptors: 3)
        supervisor.close()
        #expect(failure()?.hasSuffix("it is gone") == true)
    }
}
