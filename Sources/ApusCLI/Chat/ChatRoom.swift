import Synchronization

/// Those who are present, each with a queue of what was said and not yet sent.
///
/// Nobody waits for anybody: a member whose queue is full is shown the door, and the rest go on.
final class ChatRoom: Sendable {
    /// Pieces of news that may wait for one member; one more ends its queue.
    static let maxQueuedNews = 64
    /// One who is present.
    struct Member {
        let id: Int
        /// What to send; ends where the member did not keep up.
        let news: AsyncStream<String>
    }

    /// Where one sits, as the room sees it.
    private struct Seat {
        var name: String
        let queue: AsyncStream<String>.Continuation
    }

    private struct State {
        var seats: [Int: Seat] = [:]
        var lastID = 0

        /// Tells everybody; those who do not keep up have left, which is news again for the fewer who remain.
        mutating func tell(_ news: ChatNews) {
            let text = news.text
            var slow: [Seat] = []
            for (id, seat) in seats {
                if case .dropped = seat.queue.yield(text) {
                    seats[id] = nil
                    slow.append(seat)
                }
            }
            for seat in slow {
                seat.queue.finish()
                tell(.left(name: seat.name, present: seats.count))
            }
        }
    }

    private let maxMembers: Int
    private let state = Mutex(State())

    /// - Parameter maxMembers: Members at a time; one more is not let in.
    init(maxMembers: Int = 1000) {
        self.maxMembers = maxMembers
    }

    /// Lets one in and tells everybody; nil where the room is full.
    ///
    /// - Parameter version: The version of HTTP that the member has come over, which it is told.
    func join(over version: String) -> Member? {
        state.withLock { state in
            guard state.seats.count < maxMembers else { return nil }
            state.lastID += 1
            let id = state.lastID
            let name = "Guest \(id)"
            let present = state.seats.count + 1
            state.tell(.joined(name: name, present: present))
            let (news, queue) = AsyncStream.makeStream(
                of: String.self,
                bufferingPolicy: .bufferingOldest(Self.maxQueuedNews)
            )
            queue.yield(ChatNews.welcome(member: id, name: name, present: present, version: version).text)
            state.seats[id] = Seat(name: name, queue: queue)
            return Member(id: id, news: news)
        }
    }

    /// Does what a member asks for; nothing for one who has been shown the door.
    func take(_ message: ChatMessage, from member: Member) {
        state.withLock { state in
            guard let seat = state.seats[member.id] else { return }
            switch message {
            case .say(let text): state.tell(.said(member: member.id, name: seat.name, text: text))
            case .name(let name):
                state.seats[member.id]?.name = name
                state.tell(.renamed(member: member.id, from: seat.name, to: name))
            }
        }
    }

    /// Tells everybody that one has left, unless they know.
    func leave(_ member: Member) {
        state.withLock { state in
            guard let seat = state.seats.removeValue(forKey: member.id) else { return }
            seat.queue.finish()
            state.tell(.left(name: seat.name, present: state.seats.count))
        }
    }
}
