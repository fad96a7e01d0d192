import ApusHTTP
import ApusTransport

/// Opens the sockets of places, each for all slots.
struct PlaceOpener {
    /// Attempts to find one port number that is free everywhere it is needed.
    private static let portAttempts = 16

    let configuration: Configuration
    let slotCount: Int
    /// Why the kernel does not spread what arrives over slots, the first time that it would not.
    private(set) var refusal: SystemError?

    init(_ configuration: Configuration, slotCount: Int) {
        self.configuration = configuration
        self.slotCount = slotCount
    }

    mutating func open(_ place: PlannedPlace) throws(BindError) -> [SocketGroup] {
        do {
            switch place.source {
            case .inherited(let sockets):
                return sockets.map { shared($0, place, isOwn: false) }
            case .unix(let address):
                let access = UnixAccess(
                    mode: configuration.unixSocket.mode,
                    owner: configuration.unixSocket.owner,
                    group: configuration.unixSocket.group
                )
                return [shared(try .unix(address, backlog: backlog, access: access), place)]
            case .addresses(let addresses):
                return try open(addresses, place)
            }
        } catch {
            // The socket is bound by then, and its file cannot be given to whom that option names.
            let reason = error.call == "chown" ? "--unix-owner: \(error.reason)" : error.reason
            throw BindError(bind: place.bind, option: place.option, reason: reason)
        }
    }

    private var backlog: Int32 { Int32(clamping: configuration.backlog) }

    private func shared(_ socket: BoundSocket, _ place: PlannedPlace, isOwn: Bool = true) -> SocketGroup {
        SocketGroup(place: place.number, isSecure: place.isSecure, isShared: true, isOwn: isOwn, sockets: [socket])
    }

    // MARK: - Addresses

    /// A free port may be taken for UDP, or on another address: then another one is tried.
    private mutating func open(
        _ addresses: [SocketAddress],
        _ place: PlannedPlace
    ) throws(SystemError) -> [SocketGroup] {
        var attempts = addresses.contains { $0.port == 0 } ? Self.portAttempts : 1
        while true {
            attempts -= 1
            do {
                return try openOnce(addresses, place)
            } catch {
                guard error.isAddressInUse, attempts > 0 else { throw error }
            }
        }
    }

    private mutating func openOnce(
        _ addresses: [SocketAddress],
        _ place: PlannedPlace
    ) throws(SystemError) -> [SocketGroup] {
        var groups: [SocketGroup] = []
        var port: UInt16 = 0
        for address in addresses {
            var address = address
            if port != 0 { address.port = port }
            do {
                groups += try open(&address, place)
                port = address.port
            } catch {
                // A host without IPv6 still has the IPv4 half of a name.
                guard error.isAddressMissing, addresses.count > 1, address.host != addresses[0].host else {
                    throw error
                }
            }
        }
        return groups
    }

    /// Opens what one address needs, on the port that the first socket got.
    private mutating func open(
        _ address: inout SocketAddress,
        _ place: PlannedPlace
    ) throws(SystemError) -> [SocketGroup] {
        var groups: [SocketGroup] = []
        if !configuration.tcpProtocols.isEmpty {
            let backlog = backlog
            let group = try group(at: address, place) { address, isMember throws(SystemError) in
                try .tcp(address, backlog: backlog, reusePort: isMember)
            }
            address.port = group.sockets[0].port ?? address.port
            groups.append(group)
        }
        guard place.isSecure, configuration.protocols.contains(.http3) else { return groups }
        // TCP's `::` takes IPv4 as well; on UDP each family has a socket of its own, for the sake of its control messages.
        for family in address.datagramAddresses {
            var family = family
            family.port = address.port
            let group = try group(at: family, place) { address, isMember throws(SystemError) in
                try .udp(address, reusePort: isMember)
            }
            address.port = group.sockets[0].port ?? address.port
            groups.append(group)
        }
        return groups
    }

    // MARK: - Groups

    /// Opens one socket for each slot, in their order; a single one where the kernel does not steer.
    private mutating func group(
        at address: SocketAddress,
        _ place: PlannedPlace,
        _ open: (_ address: SocketAddress, _ isMember: Bool) throws(SystemError) -> BoundSocket
    ) throws(SystemError) -> SocketGroup {
        // SO_REUSEPORT lets any process of the same user join, and take its share of our clients: so the first is bound
        // without it, which fails if anybody else has the address, and admits the others only then.
        let first = try open(address, false)
        var group = SocketGroup(
            place: place.number,
            isSecure: place.isSecure,
            isShared: false,
            isOwn: true,
            sockets: [first]
        )
        guard slotCount > 1, case .ip(let bound) = first.address else { return group }
        do throws(SystemError) {
            try first.admitOthers(true)
            group.sockets.append(try open(bound, true))
            // At once, so that nobody lands in a slot that is not read yet. It takes two to be a group.
            try group.steer(newcomers: [0], key: 1, slotCount: slotCount)
        } catch {
            return try share(group, place, error)
        }
        for _ in 2..<slotCount { group.sockets.append(try open(bound, true)) }
        return group
    }

    /// Falls back to a socket that all slots share.
    private mutating func share(
        _ group: SocketGroup,
        _ place: PlannedPlace,
        _ error: SystemError
    ) throws(SystemError) -> SocketGroup {
        // No descriptors or no memory is another matter.
        guard error.call == "setsockopt" || error.isAddressInUse else { throw error }
        refusal = refusal ?? error
        for socket in group.sockets.dropFirst() { socket.close() }
        try? group.sockets[0].admitOthers(false)
        return shared(group.sockets[0], place)
    }
}
