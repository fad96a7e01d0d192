import ApusTransport
import Glibc

/// The ways by which the workers of one process forward datagrams to each other, one for each slot.
final class ForwardingPairs: Sendable {
    private let pairs: [(sender: Int32, receiver: Int32)]

    init(slotCount: Int) throws(SystemError) {
        var pairs: [(sender: Int32, receiver: Int32)] = []
        do throws(SystemError) {
            for _ in 0..<slotCount { pairs.append(try ForwardingPair.make()) }
        } catch {
            Self.close(pairs)
            throw error
        }
        self.pairs = pairs
    }

    deinit {
        Self.close(pairs)
    }

    private static func close(_ pairs: [(sender: Int32, receiver: Int32)]) {
        for pair in pairs {
            Glibc.close(pair.sender)
            Glibc.close(pair.receiver)
        }
    }

    /// What the worker of a slot needs; valid as long as this object.
    func forwarding(of slot: Int) -> Membership.Forwarding {
        Membership.Forwarding(receiver: pairs[slot].receiver, senders: pairs.map(\.sender))
    }
}
