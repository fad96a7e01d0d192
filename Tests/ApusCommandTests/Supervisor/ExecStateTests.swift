import Apus
import Testing

@testable import ApusCommand

/// What one executable hands over, the next one understands, or refuses as a whole.
struct ExecStateTests {
    static let state: ExecState = {
        var state = ExecState(
            pid: 4711,
            startedAt: 1_795_000_000,
            executablePath: "/opt/apus 2/bin/apüs\n",
            supervision: "version 1\nworkers 2",
            secrets: [1, 2, 3],
            sockets: [0, 255],
            socketDescriptors: [5, 6, 7]
        )
        state.forwarding = [.init(sender: 8, receiver: 9), .init(sender: 10, receiver: 11)]
        state.workers = [.init(id: 3, pid: 4712, control: 12)]
        return state
    }()

    private func text(_ state: ExecState) -> String {
        String(decoding: state.encoded, as: UTF8.self)
    }

    @Test func `a state is read as it was written`() {
        var state = Self.state
        #expect(ExecState(encoded: state.encoded) == state)
        state.signals = .init(sender: 13, receiver: 14)
        state.pidFile = .init(descriptor: 15, path: "/run/apus.pid")
        state.statusSocket = .init(descriptor: 16, path: "/run/apus/4711.sock")
        #expect(ExecState(encoded: state.encoded) == state)
        #expect(state.descriptors == [5, 6, 7, 8, 9, 10, 11, 13, 14, 12, 15, 16])
    }

    @Test func `a state of another format is refused`() {
        let later = text(Self.state).replacing("apus-supervisor 1", with: "apus-supervisor 2")
        #expect(ExecState(encoded: Array(later.utf8)) == nil)
        #expect(ExecState(encoded: []) == nil)
        #expect(ExecState(encoded: Array("apus-supervisor 1".utf8)) == nil)
    }

    @Test func `a state with a line that is not understood is refused`() {
        for line in [
            "tunnel 5", "worker 1 2", "worker 1 2 3 4", "worker 1 x 3", "pidfile 5", "signals 1", "pid 2147483648",
        ] {
            #expect(ExecState(encoded: Array((text(Self.state) + "\n" + line).utf8)) == nil, "\(line)")
        }
    }

    @Test func `a state is usable where all that it consists of is understood`() throws {
        var configuration = Configuration()
        configuration.binds = [.address(host: "127.0.0.1", port: 0)]
        let sockets = try ServerSockets.open(configuration, slotCount: 2)
        defer { sockets.close() }
        var usable = Self.state
        usable.supervision = SupervisionBench.serving(workers: 1).supervision.state.encoded
        usable.secrets = ServerSecrets.random().encoded
        usable.sockets = sockets.encoded
        usable.socketDescriptors = sockets.descriptors
        #expect(usable.isUsable)
        for change: (inout ExecState) -> Void in [
            { $0.supervision += "x" }, { $0.secrets.removeLast() }, { $0.sockets.append(0) },
            { $0.sockets.removeLast() }, { $0.socketDescriptors.removeLast() }, { $0.socketDescriptors.append(9) },
        ] {
            var other = usable
            change(&other)
            #expect(!other.isUsable)
        }
    }

    @Test func `a state that lacks a line is refused, but for what may be missing`() {
        let lines = text(Self.state).split(separator: "\n")
        for line in lines where !["started", "forwarding", "worker"].contains(line.prefix { $0 != " " }) {
            let rest = lines.filter { $0 != line }.joined(separator: "\n")
            #expect(ExecState(encoded: Array(rest.utf8)) == nil, "\(line)")
        }
    }
}
