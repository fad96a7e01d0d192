import ApusTransport

/// Every socket of a server, for all of its slots: opened once, kept as long as the server lives.
package final class ServerSockets: Sendable {
    /// What is told once they are accepted from, with the real ports.
    package let listeners: [Listener]
    /// What whoever runs the server should know: that the kernel does not steer.
    package let warnings: [String]
    package let slotCount: Int
    private let groups: [SocketGroup]
    /// What TCP carries.
    private let protocols: [Configuration.HTTPProtocol]

    private init(
        _ groups: [SocketGroup],
        slotCount: Int,
        protocols: [Configuration.HTTPProtocol],
        warnings: [String] = []
    ) {
        self.groups = groups
        self.slotCount = slotCount
        self.protocols = protocols
        self.warnings = warnings
        listeners = SlotSockets(entries: groups.map { $0.entry(of: 0) }).listeners(offering: protocols)
    }

    /// Opens every place at every address, with one socket for each slot where the kernel steers.
    ///
    /// Sockets from elsewhere are taken over; where this fails, they are closed. New connections go to slot 0 until
    /// ``steer(newcomers:key:slotCount:)`` says otherwise.
    ///
    /// - Throws: ``ConfigurationError`` before any port is opened, ``BindError``.
    package static func open(_ configuration: Configuration, slotCount: Int) throws -> ServerSockets {
        var elsewhere = PassedSockets.ofProcess()
        return try open(configuration, slotCount: slotCount, &elsewhere)
    }

    static func open(
        _ configuration: Configuration,
        slotCount: Int,
        _ elsewhere: inout PassedSockets
    ) throws -> ServerSockets {
        let places = try PlannedPlace.all(of: configuration, &elsewhere)
        var opener = PlaceOpener(configuration, slotCount: slotCount)
        var groups: [SocketGroup] = []
        for place in places { groups += try opener.open(place) }
        return ServerSockets(
            groups,
            slotCount: slotCount,
            protocols: configuration.tcpProtocols,
            warnings: opener.refusal.map { [Self.warning($0)] } ?? []
        )
    }

    private static func warning(_ refusal: SystemError) -> String {
        "the kernel does not spread connections by program (\(refusal)): sockets are shared, and datagrams forwarded"
    }

    // MARK: - Use

    package var all: [BoundSocket] { groups.flatMap(\.sockets) }

    /// What the worker of a slot reads.
    package func sockets(of slot: Int) -> SlotSockets {
        SlotSockets(entries: groups.map { $0.entry(of: slot) })
    }

    /// Tells the kernel, at once and for all sockets, which slots get new connections: `newcomers`, in that order.
    package func steer(newcomers: [Int], key: UInt32, slotCount: Int) throws {
        for group in groups {
            try group.steer(newcomers: newcomers, key: key, slotCount: slotCount)
        }
    }

    /// Closes those to which clients connect, so that nobody new waits for a server that goes.
    package func closeStreams() {
        for socket in all where socket.kind != .udp { socket.close() }
    }

    /// Closes all; nobody may use them any more.
    package func close() {
        for socket in all { socket.close() }
    }

    // MARK: - For a later image of the process

    /// All but the sockets themselves.
    package var encoded: [UInt8] {
        var writer = StateWriter()
        writer.append(slotCount)
        writer.append(protocols.count)
        for version in protocols { writer.append(version.rawValue) }
        writer.append(groups.count)
        for group in groups {
            writer.append(group.place)
            writer.append(group.isSecure)
            writer.append(group.isShared)
            writer.append(group.isOwn)
        }
        return writer.bytes
    }

    /// The sockets, in the order of ``encoded``.
    package var descriptors: [Int32] { all.map(\.descriptor) }

    /// Takes over the descriptors of what ``encoded`` gave before.
    ///
    /// - Throws: ``StateError``, or `SystemError` where a descriptor is no socket of ours.
    package convenience init(encoded: [UInt8], descriptors: [Int32]) throws {
        let plan = try HandedOverSockets(encoded)
        guard plan.descriptorCount == descriptors.count else { throw StateError() }
        var rest = descriptors[...]
        var groups: [SocketGroup] = []
        for group in plan.groups {
            var group = group
            for descriptor in rest.prefix(plan.descriptorCount(of: group)) {
                // The file of a unix socket may be gone.
                let whole = group.isOwn ? try? BoundSocket(inherited: descriptor, ownsFile: true) : nil
                group.sockets.append(try whole ?? BoundSocket(inherited: descriptor))
            }
            rest = rest.dropFirst(group.sockets.count)
            groups.append(group)
        }
        self.init(groups, slotCount: plan.slotCount, protocols: plan.protocols)
    }

    /// How many descriptors go with what ``encoded`` gave, perhaps in another version; nil where it is not understood.
    package static func descriptorCount(of encoded: [UInt8]) -> Int? {
        try? HandedOverSockets(encoded).descriptorCount
    }
}

/// What an earlier image says of its sockets, without these.
private struct HandedOverSockets {
    let slotCount: Int
    private(set) var protocols: [Configuration.HTTPProtocol] = []
    private(set) var groups: [SocketGroup] = []

    init(_ encoded: [UInt8]) throws(StateError) {
        var reader = StateReader(encoded)
        slotCount = try reader.number()
        guard (1...Self.mostSlots).contains(slotCount) else { throw StateError() }
        for _ in 0..<(try reader.count()) {
            guard let version = Configuration.HTTPProtocol(rawValue: try reader.text()) else { throw StateError() }
            protocols.append(version)
        }
        for _ in 0..<(try reader.count()) {
            groups.append(
                SocketGroup(
                    place: try reader.number(),
                    isSecure: try reader.flag(),
                    isShared: try reader.flag(),
                    isOwn: try reader.flag(),
                    sockets: []
                )
            )
        }
        try reader.finish()
    }

    /// More than anybody has, so that their product with the groups never overflows.
    private static let mostSlots = 1 << 16

    var descriptorCount: Int { groups.reduce(0) { $0 + descriptorCount(of: $1) } }

    func descriptorCount(of group: SocketGroup) -> Int {
        group.isShared ? 1 : slotCount
    }
}
