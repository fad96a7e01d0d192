import CApusShims

/// What epoll reports about a descriptor.
package struct IOEvents: OptionSet, Sendable {
    package let rawValue: UInt32

    package init(rawValue: UInt32) {
        self.rawValue = rawValue
    }

    package static let readable = IOEvents(rawValue: EPOLLIN.rawValue)
    package static let writable = IOEvents(rawValue: EPOLLOUT.rawValue)
    /// The peer has sent its FIN (or more); seen even by one who does not read.
    package static let peerClosed = IOEvents(rawValue: EPOLLRDHUP.rawValue)
    /// Both directions are closed.
    package static let hangUp = IOEvents(rawValue: EPOLLHUP.rawValue)
    /// The socket has an error pending, e.g. a reset; reading tells which.
    package static let error = IOEvents(rawValue: EPOLLERR.rawValue)

    /// Whether the peer has said its last, or the connection is broken.
    package var tellsTheEnd: Bool {
        rawValue & (EPOLLRDHUP.rawValue | EPOLLHUP.rawValue | EPOLLERR.rawValue) != 0
    }

    static let edgeTriggered = IOEvents(rawValue: EPOLLET.rawValue)
    /// Of all who watch the descriptor in this way, the kernel wakes one (or a few), not everybody.
    static let exclusive = IOEvents(rawValue: EPOLLEXCLUSIVE.rawValue)
}

/// Takes the events of a registered descriptor, on the loop's thread.
package protocol EventHandler: AnyObject {
    func handle(_ events: IOEvents)
}

/// Is called once at the end of the turn in which it asked for it, on the loop's thread.
package protocol TurnEndHandler: AnyObject {
    func turnDidEnd()
}

/// How a descriptor is watched.
package enum WatchMode: Sendable {
    /// A connected stream: edge-triggered, both directions and the peer's FIN, registered once and never
    /// modified. Its owner remembers readiness until a call says `wouldBlock`.
    case stream
    /// A listener or datagram socket: level-triggered, readable only until `setInterest` says otherwise.
    case level
    /// A listener that other loops watch too, perhaps of other processes: like `level`, but a connection wakes
    /// one of them. What is wanted cannot be changed (the kernel does not allow it).
    case shared
    /// Level-triggered, and nothing is wanted (an error comes all the same) until `setInterest`.
    case idle

    var events: IOEvents {
        switch self {
        case .stream: [.readable, .writable, .peerClosed, .edgeTriggered]
        case .level: .readable
        case .shared: [.readable, .exclusive]
        case .idle: []
        }
    }
}

/// Names one registration for ever: a later one in the same slot has another generation.
package struct Registration: Hashable, Sendable {
    let index: UInt32
    let generation: UInt32

    /// What travels through epoll's user data.
    var token: UInt64 { UInt64(generation) << 32 | UInt64(index) }

    init(index: UInt32, generation: UInt32) {
        self.index = index
        self.generation = generation
    }

    init(token: UInt64) {
        index = UInt32(truncatingIfNeeded: token)
        generation = UInt32(truncatingIfNeeded: token >> 32)
    }

    /// The loop's own wake-up descriptor, which has no slot.
    static let wakeUp = Registration(index: .max, generation: .max)
}
