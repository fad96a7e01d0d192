import Apus

/// What a supervisor and a worker tell each other over their control socket: each message is one line of text, a verb and
/// then decimal numbers (bytes in hexadecimal), with descriptors beside it where it hands over sockets.
enum ControlMessage: Hashable {
    // From the supervisor.

    /// Who the worker is and what all workers share; with ``WorkerGreeting/descriptors(receiver:senders:)``.
    case hello(WorkerGreeting)
    /// The sockets of its slot, with their descriptors.
    case sockets(slot: Int, encoded: [UInt8])
    /// Everything has been said that it needs in order to start.
    case start
    /// The slots that get new connections, in their order.
    case newcomers([Int])
    /// Another slot that it is to read as well, whose worker is away; with the descriptors of where others forward to it,
    /// and of its sockets.
    case adopt(slot: Int, encoded: [UInt8])
    /// It is to read an adopted slot no longer, and to say when it does not.
    case release(slot: Int)
    /// Whether it is the one that reads the UDP sockets that all share.
    case reader(Bool)
    /// It is to leave, politely; its clients are told to come again where a successor is there.
    case drain(isReloading: Bool)
    /// It is to say how it is.
    case ping(Int)

    // From the worker.

    /// It serves from now on.
    case ready
    /// It reads an adopted slot no longer.
    case released(slot: Int)
    /// It leaves though nobody told it to over the socket.
    case leaving
    /// The answer to a ping, from the loop that serves.
    case pong(Int, WorkerReport)

    // From either.

    /// Descriptors that belong to the next message, which has more than go with one.
    case descriptors
}

/// Who a worker is, and what it shares with the others.
struct WorkerGreeting: Hashable {
    /// Its position among the sockets of every place.
    let slot: Int
    /// How many positions there are.
    let slotCount: Int
    /// Which of the workers it is, whatever its generation.
    let index: Int
    /// What its supervisor calls this very process.
    let id: Int
    /// ``ServerSecrets/encoded``.
    let secrets: [UInt8]
}

extension ControlMessage {
    /// Whether descriptors may come with it; those that come with any other message are closed.
    var takesDescriptors: Bool {
        switch self {
        case .hello, .sockets, .adopt, .descriptors: true
        default: false
        }
    }
}
