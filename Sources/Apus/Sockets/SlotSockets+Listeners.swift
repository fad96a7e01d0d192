import ApusGateway
import ApusHTTP
import ApusTransport

extension SlotSockets {
    /// The places where these sockets are accepted from, as clients see them.
    ///
    /// - Parameter protocols: What TCP carries.
    func listeners(offering protocols: [Configuration.HTTPProtocol]) -> [Listener] {
        let places = Set(entries.map(\.place)).sorted()
        return places.flatMap { place in
            Self.listeners(of: entries.filter { $0.place == place }, protocols)
        }
    }

    private static func listeners(of place: [Entry], _ protocols: [Configuration.HTTPProtocol]) -> [Listener] {
        let datagrams = place.filter { $0.socket.kind == .udp }
        let streams = place.filter { $0.socket.kind != .udp }
        let ports = Set(datagrams.compactMap(\.socket.port))
        let named = Set(streams.compactMap(\.socket.port))
        let listeners = streams.map { entry in
            // HTTP/3 is at the same port, or it has a line of its own.
            let hasHTTP3 = entry.socket.port.map { ports.contains($0) } ?? false
            return Listener(
                address: Address(entry.socket.address),
                isSecure: entry.isSecure,
                protocols: protocols + (hasHTTP3 ? [.http3] : [])
            )
        }
        let others = datagrams.filter { entry in entry.socket.port.map { !named.contains($0) } ?? true }
        return listeners
            + others.map { Listener(address: Address($0.socket.address), isSecure: true, protocols: [.http3]) }
    }
}

extension BoundSocket {
    /// The port of an IP address.
    var port: UInt16? {
        guard case .ip(let address) = address else { return nil }
        return address.port
    }

    /// The path of a unix socket, an abstract one with its `@`.
    var unixPath: String? {
        switch address {
        case .ip: nil
        case .unix(let path): path
        case .abstract(let name): "@\(name)"
        }
    }
}

extension Address {
    init(_ address: BindAddress) {
        switch address {
        case .ip(let address): self.init(address)
        case .unix(let path): self.init(host: path, port: nil)
        case .abstract(let name): self.init(host: "@\(name)", port: nil)
        }
    }
}
