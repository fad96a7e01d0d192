import Apus
import ApusHTTP
import ApusTransport
import Glibc

/// What a worker is told before it starts.
struct WorkerStart {
    /// How long its supervisor may take for that, which has it all at hand.
    static let timeout = TimeSpan.seconds(30)

    let greeting: WorkerGreeting
    let secrets: ServerSecrets
    let sockets: SlotSockets
    let forwarding: Membership.Forwarding
    let newcomers: [Int]

    /// Waits for all of it.
    static func receive(from channel: ControlChannel) throws(WorkerStartError) -> WorkerStart {
        var hello: (greeting: WorkerGreeting, descriptors: [Int32])?
        var sockets: SlotSockets?
        var newcomers: [Int] = []
        while true {
            switch try next(channel) {
            case (.hello(let greeting), let descriptors): hello = (greeting, descriptors)
            case (.sockets(_, let encoded), let descriptors): sockets = try slot(encoded, descriptors)
            case (.newcomers(let slots), _): newcomers = slots
            case (.start, _):
                guard let hello, let sockets else { throw WorkerStartError("it has not said everything") }
                return try WorkerStart(hello.greeting, hello.descriptors, sockets, newcomers)
            default: throw WorkerStartError("it says what comes later")
            }
        }
    }

    private static func next(_ channel: ControlChannel) throws(WorkerStartError) -> (ControlMessage, [Int32]) {
        switch channel.wait(timeout) {
        case .message(let message, let descriptors): return (message, descriptors)
        case .unknown(let text): throw WorkerStartError("it says what is not known: \(text)")
        case .nothing: throw WorkerStartError("it says nothing")
        case .closed: throw WorkerStartError("it is gone")
        }
    }

    private static func slot(_ encoded: [UInt8], _ descriptors: [Int32]) throws(WorkerStartError) -> SlotSockets {
        do {
            return try SlotSockets(encoded: encoded, descriptors: descriptors)
        } catch {
            throw WorkerStartError("\(error)")
        }
    }

    private init(
        _ greeting: WorkerGreeting,
        _ descriptors: [Int32],
        _ sockets: SlotSockets,
        _ newcomers: [Int]
    ) throws(WorkerStartError) {
        guard let secrets = ServerSecrets(encoded: greeting.secrets) else {
            throw WorkerStartError("it has other secrets than this version")
        }
        // The slot's own receiving end, then a sending end for each slot.
        guard let receiver = descriptors.first, descriptors.count == greeting.slotCount + 1 else {
            throw WorkerStartError(
                "it has handed over \(descriptors.count) descriptors for \(greeting.slotCount) slots"
            )
        }
        self.greeting = greeting
        self.secrets = secrets
        self.sockets = sockets
        self.newcomers = newcomers
        forwarding = Membership.Forwarding(receiver: receiver, senders: Array(descriptors.dropFirst()))
    }
}

/// A worker that its supervisor has not told what it needs.
struct WorkerStartError: Error, CustomStringConvertible {
    private let reason: String

    init(_ reason: String) {
        self.reason = reason
    }

    var description: String { "the worker cannot start with its supervisor: \(reason)" }
}
