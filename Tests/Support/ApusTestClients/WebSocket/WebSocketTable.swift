import ApusHTTP

/// Runs cases one after the other against one server, through whatever opens WebSockets there.
package struct WebSocketTable {
    /// A case that went wrong.
    package struct Failure: Sendable, CustomStringConvertible {
        package let name: String
        package let what: String

        package var description: String { "\(name): \(what)" }
    }

    /// Seconds that one case may take: far more than it needs.
    package static let patience = 20.0

    /// So many failures say enough: a server that answers nothing would cost ``patience`` for each case.
    private static let maxFailures = 5

    private let connector: any WebSocketConnector
    private let cutting: WebSocketPeer.Cutting
    private let path: String
    private let repliesAreWhole: Bool

    /// - Parameters:
    ///   - path: Where the server echoes; each case adds its index as the query.
    ///   - repliesAreWhole: Whether it echoes messages, not pieces as they come.
    package init(
        connector: any WebSocketConnector,
        cutting: WebSocketPeer.Cutting,
        path: String,
        repliesAreWhole: Bool
    ) {
        self.repliesAreWhole = repliesAreWhole
        self.connector = connector
        self.cutting = cutting
        self.path = path
    }

    /// Runs cases while another WebSocket and an ordinary request are to take no notice.
    package func run(_ cases: [WebSocketCase]) -> [Failure] {
        var failures: [Failure] = []
        do {
            let neighbour = try connector.open(path, offer: nil, until: deadline)
            for (index, item) in cases.enumerated() where failures.count < Self.maxFailures {
                do {
                    try run(item, index)
                } catch {
                    failures.append(Failure(name: item.name, what: "\(error)"))
                }
            }
            let peer = try WebSocketPeer(transport: neighbour, offer: nil, cutting: .whole, until: deadline)
            try peer.run(WebSocketCase("a neighbour", [.send(.text("unharmed")), .text("unharmed")]).steps)
            let status = try connector.get(path, until: deadline).status
            guard status == 200 else { throw ClientFailure("an ordinary request is answered with \(status)") }
        } catch {
            failures.append(Failure(name: "a neighbour", what: "\(error)"))
        }
        return failures
    }

    private var deadline: Instant { .now + .seconds(Self.patience) }

    private func run(_ item: WebSocketCase, _ index: Int) throws {
        let deadline = deadline
        let transport = try connector.open("\(path)?\(index)", offer: item.offer, until: deadline)
        do {
            let peer = try WebSocketPeer(
                transport: transport,
                offer: item.offer,
                cutting: cutting,
                repliesAreWhole: repliesAreWhole,
                until: deadline
            )
            try peer.run(item.steps)
        } catch {
            // Also what is over for the client may go on for the server.
            try? transport.reset(until: deadline)
            throw error
        }
    }
}
