import Synchronization

/// How requests ended that somebody watches, a line each.
final class Endings: Sendable {
    static let shared = Endings()

    private let noted = Mutex<[String]>([])

    func note(_ id: String, _ how: String) {
        noted.withLock { $0.append("\(id) \(how)\n") }
    }

    var lines: String {
        noted.withLock { $0.joined() }
    }
}
