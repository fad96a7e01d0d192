import ApusHTTP
import ApusTestClients

/// Datagrams on their way, with all that can happen to them.
struct SimulatedNetwork {
    struct Conditions {
        var latency: UInt64 = 5_000_000
        /// The latency varies by up to this much, which reorders.
        var jitter: UInt64 = 0
        var loss = 0.0
        var duplication = 0.0
        var mtu = 1452
    }

    struct Datagram {
        let due: UInt64
        let sequence: Int
        let bytes: [UInt8]
        let source: SocketAddress
        let target: SocketAddress
    }

    var conditions: Conditions
    private var generator: SeededGenerator
    private var flying: [Datagram] = []
    private var sequence = 0
    private(set) var lost = 0
    /// Called for each datagram before it starts; a test may look, change it or drop it.
    var intercept: (([UInt8], SocketAddress) -> [UInt8]?)?

    init(conditions: Conditions = Conditions(), seed: UInt64 = 1) {
        self.conditions = conditions
        generator = SeededGenerator(seed: seed)
    }

    mutating func send(_ bytes: [UInt8], from source: SocketAddress, to target: SocketAddress, now: Instant) {
        var bytes = bytes
        if let intercept {
            guard let changed = intercept(bytes, target) else { return }
            bytes = changed
        }
        guard bytes.count <= conditions.mtu else { return }
        let copies = Double.random(in: 0..<1, using: &generator) < conditions.duplication ? 2 : 1
        for _ in 0..<copies {
            if Double.random(in: 0..<1, using: &generator) < conditions.loss {
                lost += 1
                continue
            }
            let extra = conditions.jitter == 0 ? 0 : UInt64.random(in: 0...conditions.jitter, using: &generator)
            sequence += 1
            let due = now.nanoseconds + conditions.latency + extra
            insert(Datagram(due: due, sequence: sequence, bytes: bytes, source: source, target: target))
        }
    }

    private mutating func insert(_ datagram: Datagram) {
        var index = flying.count
        while index > 0, flying[index - 1].due > datagram.due { index -= 1 }
        flying.insert(datagram, at: index)
    }

    var nextArrival: UInt64? { flying.first?.due }

    mutating func arrivals(at now: Instant) -> [Datagram] {
        let due = flying.prefix { $0.due <= now.nanoseconds }
        flying.removeFirst(due.count)
        return Array(due)
    }
}
