import Apus
import Glibc

/// What a supervisor hands to the executable that takes its place in the same process: everything that it has open, and
/// what it knows. It travels in sealed memory, as lines of text.
struct ExecState: Equatable {
    /// A worker that lives on.
    struct Worker: Equatable {
        let id: Int
        let pid: pid_t
        let control: Int32
    }

    /// A descriptor, and the path of its file.
    struct File: Equatable {
        let descriptor: Int32
        let path: String
    }

    /// The two ends of a slot's forwarding socket, or of a pipe.
    struct Forwarding: Equatable {
        let sender: Int32
        let receiver: Int32
    }

    /// The process whose state it is: nobody else takes it over.
    var pid: pid_t
    /// When the supervisor first started, in seconds since 1970.
    var startedAt: Int
    /// Where a new executable is looked for.
    var executablePath: String
    /// ``SupervisionState/encoded``.
    var supervision: String
    /// ``ServerSecrets/encoded``.
    var secrets: [UInt8]
    /// ``ServerSockets/encoded``, and the descriptors that it speaks of.
    var sockets: [UInt8]
    var socketDescriptors: [Int32]
    /// By slot.
    var forwarding: [Forwarding] = []
    var workers: [Worker] = []
    /// The pipe of signals that nobody has acted on yet.
    var signals: Forwarding?
    var pidFile: File?
    var statusSocket: File?

    /// The variable that names the descriptor of the state.
    static let variable = "APUS_SUPERVISOR"
    /// The first line: which format this is.
    private static let title = "apus-supervisor 1"

    /// Everything that must stay open while the executable changes.
    var descriptors: [Int32] {
        let pairs = forwarding + [signals].compactMap(\.self)
        return socketDescriptors + pairs.flatMap { [$0.sender, $0.receiver] } + workers.map(\.control)
            + [pidFile, statusSocket].compactMap { $0?.descriptor }
    }
}

extension ExecState {
    var encoded: [UInt8] {
        var lines = [
            Self.title, "pid \(pid)", "started \(startedAt)", "executable \(Self.hexadecimal(executablePath))",
            "supervision \(Self.hexadecimal(supervision))", "secrets \(Hexadecimal.text(of: secrets))",
            (["sockets", Hexadecimal.text(of: sockets)] + socketDescriptors.map(String.init)).joined(separator: " "),
        ]
        lines += forwarding.map { "forwarding \($0.sender) \($0.receiver)" }
        lines += workers.map { "worker \($0.id) \($0.pid) \($0.control)" }
        lines += signals.map { ["signals \($0.sender) \($0.receiver)"] } ?? []
        lines += pidFile.map { ["pidfile \($0.descriptor) \(Self.hexadecimal($0.path))"] } ?? []
        lines += statusSocket.map { ["status \($0.descriptor) \(Self.hexadecimal($0.path))"] } ?? []
        return Array(lines.joined(separator: "\n").utf8)
    }

    /// Nil for what is not such a state, lacks something, or says more than is understood here.
    init?(encoded: [UInt8]) {
        let lines = encoded.split(separator: UInt8(ascii: "\n"))
        guard lines.first.map({ $0.elementsEqual(Self.title.utf8) }) == true else { return nil }
        var state = ExecState(
            pid: 0,
            startedAt: 0,
            executablePath: "",
            supervision: "",
            secrets: [],
            sockets: [],
            socketDescriptors: []
        )
        for line in lines.dropFirst() {
            var words = WordReader(Array(line))
            guard state.take(&words), words.isAtEnd else { return nil }
        }
        guard state.pid > 0, !state.executablePath.isEmpty, !state.supervision.isEmpty, !state.secrets.isEmpty,
            !state.sockets.isEmpty
        else { return nil }
        self = state
    }

    /// Whether all that it consists of is understood.
    var isUsable: Bool {
        SupervisionState(encoded: supervision) != nil && ServerSecrets(encoded: secrets) != nil
            && ServerSockets.descriptorCount(of: sockets) == socketDescriptors.count
    }

    /// Takes what a line says; false where it is not understood.
    private mutating func take(_ words: inout WordReader) -> Bool {
        switch words.next() {
        case "pid": words.descriptor().map { pid = $0 } != nil
        case "started": words.number().map { startedAt = $0 } != nil
        case "executable": words.text().map { executablePath = $0 } != nil
        case "supervision": words.text().map { supervision = $0 } != nil
        case "secrets": words.bytes().map { secrets = $0 } != nil
        case "sockets": takeSockets(&words)
        case "forwarding": words.forwarding().map { forwarding.append($0) } != nil
        case "signals": words.forwarding().map { signals = $0 } != nil
        case "worker": words.worker().map { workers.append($0) } != nil
        case "pidfile": words.file().map { pidFile = $0 } != nil
        case "status": words.file().map { statusSocket = $0 } != nil
        default: false
        }
    }

    private mutating func takeSockets(_ words: inout WordReader) -> Bool {
        guard let bytes = words.bytes(), let numbers = words.numbers(below: Int(Int32.max)) else { return false }
        sockets = bytes
        socketDescriptors = numbers.map { Int32($0) }
        return true
    }

    private static func hexadecimal(_ text: String) -> String {
        Hexadecimal.text(of: Array(text.utf8))
    }
}

extension WordReader {
    /// A descriptor or process id.
    fileprivate mutating func descriptor() -> Int32? {
        number(below: Int(Int32.max)).map { Int32($0) }
    }

    fileprivate mutating func text() -> String? {
        bytes().map { String(decoding: $0, as: UTF8.self) }
    }

    fileprivate mutating func forwarding() -> ExecState.Forwarding? {
        guard let sender = descriptor(), let receiver = descriptor() else { return nil }
        return ExecState.Forwarding(sender: sender, receiver: receiver)
    }

    fileprivate mutating func worker() -> ExecState.Worker? {
        guard let id = number(), let pid = descriptor(), let control = descriptor() else { return nil }
        return ExecState.Worker(id: id, pid: pid, control: control)
    }

    fileprivate mutating func file() -> ExecState.File? {
        guard let descriptor = descriptor(), let path = text() else { return nil }
        return ExecState.File(descriptor: descriptor, path: path)
    }
}
