import ApusHTTP
import CApusShims
import Glibc
import Testing

@testable import ApusTransport

/// The sockets of one address, one for each slot.
private final class Group {
    let sockets: [BoundSocket]
    let address: SocketAddress

    init(_ kind: BoundSocket.Kind, slotCount: Int, _ family: SocketAddress.Family = .ipv4) throws {
        var sockets: [BoundSocket] = []
        var address = try loopback(family)
        for _ in 0..<slotCount {
            let socket: BoundSocket =
                kind == .udp
                ? try .udp(address, reusePort: true) : try .tcp(address, backlog: 512, reusePort: true, dualStack: true)
            guard case .ip(let bound) = socket.address else { throw SystemError("bind", code: EINVAL) }
            address = bound
            sockets.append(socket)
        }
        (self.sockets, self.address) = (sockets, address)
    }

    /// Attaches through any member, as all are alike.
    func attach(_ program: SteeringProgram) throws {
        try program.attach(to: try #require(sockets.randomElement()))
    }

    /// The datagrams that came, by slot, once there are as many as were sent.
    func arrivals(_ count: Int) -> [[[UInt8]]] {
        var arrived = [[[UInt8]]](repeating: [], count: sockets.count)
        var room = [UInt8](repeating: 0, count: 2048)
        var missing = count
        while true {
            for (slot, socket) in sockets.enumerated() {
                while case let length = recv(socket.descriptor, &room, room.count, 0), length >= 0 {
                    arrived[slot].append(Array(room[..<length]))
                    missing -= 1
                }
            }
            guard missing > 0 else { return arrived }
            var watched = sockets.map { pollfd(fd: $0.descriptor, events: Int16(POLLIN), revents: 0) }
            guard poll(&watched, nfds_t(watched.count), 5000) > 0 else { return arrived }
        }
    }

    /// Accepts all that waits; how many, by slot.
    func accept() -> [Int] {
        sockets.map { socket in
            var count = 0
            while case let accepted = apus_accept(socket.descriptor, nil, nil), accepted >= 0 {
                close(accepted)
                count += 1
            }
            return count
        }
    }
}

/// A client of many ports.
private struct Clients {
    let sockets: [UDPSocket]

    init(_ family: SocketAddress.Family = .ipv4, count: Int = 8) throws {
        sockets = try (0..<count).map { _ in try UDPSocket(address: loopback(family)) }
    }

    func send(_ datagrams: [[UInt8]], to address: SocketAddress) {
        for (index, datagram) in datagrams.enumerated() {
            let result = datagram.withUnsafeBytes {
                sockets[index % sockets.count].send($0, segmentSize: $0.count, to: address)
            }
            #expect(result == .sent)
        }
    }
}

/// The keyed hash of four bytes, as the documentation of the program has it.
private func hash(_ bytes: some Collection<UInt8>, _ key: UInt32) -> Int {
    Int((bytes.prefix(4).reduce(0) { $0 << 8 | UInt32($1) } &* key) >> 16)
}

private func bytes(_ count: Int, _ generator: inout SeededGenerator) -> [UInt8] {
    (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) }
}

private func shortHeader(_ id: [UInt8], paddedTo count: Int = 50) -> [UInt8] {
    let start = [0x43] + id
    return start + [UInt8](repeating: 0xaa, count: max(0, count - start.count))
}

private func longHeader(_ id: [UInt8], paddedTo count: Int = 90) -> [UInt8] {
    let start = [0xc3, 0, 0, 0, 1, UInt8(id.count)] + id
    return start + [UInt8](repeating: 0xaa, count: max(0, count - start.count))
}

extension SocketTests {
    @Suite struct SteeringTests {
        private let key: UInt32 = 0x9e37_79b1
        private let idLength = 19

        private func program(_ slotCount: Int, _ newcomers: [Int]) -> SteeringProgram {
            .datagrams(slotCount: slotCount, newcomers: newcomers, key: key, idLength: idLength)
        }

        @Test(arguments: [SocketAddress.Family.ipv4, .ipv6])
        func `newcomers go to the slots of the list alone, by their ID, from the switch on`(
            family: SocketAddress.Family
        ) throws {
            let (group, clients) = (try Group(.udp, slotCount: 6, family), try Clients(family))
            var generator = SeededGenerator(seed: 11)
            for newcomers in [[0, 1, 2], [3, 4, 5], [5], [4, 0, 3], [2, 2, 1], [0, 1, 2, 3, 4, 5]] {
                try group.attach(program(6, newcomers))
                // Every length but ours, each ID twice: from two ports.
                let ids = (0..<150).map { bytes([8, 12, 18, 20][$0 % 4], &generator) }
                clients.send((ids + ids).map { longHeader($0) }, to: group.address)
                let arrived = group.arrivals(300)
                for slot in 0..<6 {
                    let expected = ids.filter { newcomers[hash($0, key) % newcomers.count] == slot }
                    #expect(arrived[slot].sorted() == (expected + expected).map { longHeader($0) }.sorted())
                }
                let counts = arrived.map(\.count)
                // Of 300 in at most six shares none is empty: the generator's seed is fixed.
                #expect(Set(newcomers) == Set(counts.indices.filter { counts[$0] >= 20 }))
            }
        }

        @Test func `our own IDs reach their slot whoever gets the newcomers, by both headers and from any port`() throws
        {
            let (group, clients) = (try Group(.udp, slotCount: 6), try Clients())
            var generator = SeededGenerator(seed: 12)
            for newcomers in [[0, 1, 2], [3, 4, 5], [1], []] {
                try group.attach(program(6, newcomers))
                let ids = (0..<120).map { _ in bytes(idLength, &generator) }
                clients.send(ids.map { shortHeader($0) } + ids.map { longHeader($0) }, to: group.address)
                let arrived = group.arrivals(240)
                for slot in 0..<6 {
                    let expected = ids.filter { hash($0, key) % 6 == slot }
                    #expect(!expected.isEmpty)
                    #expect(arrived[slot].sorted() == expected.flatMap { [shortHeader($0), longHeader($0)] }.sorted())
                }
            }
        }

        @Test func `a datagram of 24 bytes is steered, a shorter one is left to the kernel`() throws {
            let (group, clients) = (try Group(.udp, slotCount: 6), try Clients(count: 1))
            try group.attach(program(6, [0]))
            var generator = SeededGenerator(seed: 13)
            let ids = (0..<60).map { _ in bytes(idLength, &generator) }
            clients.send(ids.map { shortHeader($0, paddedTo: 24) }, to: group.address)
            let steered = group.arrivals(60)
            for slot in 0..<6 {
                #expect(steered[slot].count == ids.count { hash($0, key) % 6 == slot })
            }
            // The kernel's own choice knows the addresses only, which are the same for all of these.
            clients.send(ids.map { shortHeader($0, paddedTo: 23) }, to: group.address)
            #expect(group.arrivals(60).map(\.count).sorted() == [0, 0, 0, 0, 0, 60])
            clients.send([[0x40], [0xc0, 0, 0, 0, 1, 19, 1, 2, 3]], to: group.address)
            #expect(group.arrivals(2).map(\.count).reduce(0, +) == 2)
        }

        @Test func `without newcomers' slots the kernel chooses for them`() throws {
            let (group, clients) = (try Group(.udp, slotCount: 6), try Clients(count: 1))
            try group.attach(program(6, []))
            var generator = SeededGenerator(seed: 14)
            clients.send((0..<30).map { _ in longHeader(bytes(8, &generator)) }, to: group.address)
            #expect(group.arrivals(30).map(\.count).sorted() == [0, 0, 0, 0, 0, 30])
        }

        @Test func `a long list of slots in any order is followed`() throws {
            let slotCount = 256
            let (group, clients) = (try Group(.udp, slotCount: slotCount), try Clients())
            var generator = SeededGenerator(seed: 15)
            let newcomers = Array((0..<slotCount).shuffled(using: &generator).prefix(128))
            try group.attach(program(slotCount, newcomers))
            let ids = (0..<600).map { bytes($0 % 2 == 0 ? 20 : idLength, &generator) }
            clients.send(ids.map { longHeader($0) }, to: group.address)
            let arrived = group.arrivals(600)
            for slot in 0..<slotCount {
                let expected = ids.filter {
                    $0.count == idLength
                        ? hash($0, key) % slotCount == slot : newcomers[hash($0, key) % newcomers.count] == slot
                }
                #expect(arrived[slot].sorted() == expected.map { longHeader($0) }.sorted())
            }
        }

        @Test func `the longest list fits into a program`() throws {
            let group = try Group(.udp, slotCount: 2)
            let newcomers = (0..<SteeringProgram.maxNewcomers).map { $0 % 2 }
            #expect(throws: Never.self) { try group.attach(program(2, newcomers)) }
            #expect(throws: Never.self) {
                try Group(.tcp, slotCount: 2).attach(.connections(newcomers: newcomers))
            }
        }

        @Test(arguments: [SocketAddress.Family.ipv4, .ipv6])
        func `connections go at random over the slots of the list alone`(family: SocketAddress.Family) throws {
            let group = try Group(.tcp, slotCount: 6, family)
            for newcomers in [[0, 1, 2], [3, 4, 5], [5], [4, 0, 3]] {
                try group.attach(.connections(newcomers: newcomers))
                let clients = try (0..<120).map { _ in try Client(.ip(group.address)) }
                let counts = group.accept()
                withExtendedLifetime(clients) {}
                #expect(counts.reduce(0, +) == 120)
                // Forty are expected in each of three; fewer than six come once in 10^13 runs.
                #expect(Set(newcomers) == Set(counts.indices.filter { counts[$0] >= 6 }))
                #expect(newcomers.map { counts[$0] }.reduce(0, +) == 120)
            }
        }

        @Test func `a connection that waits stays where it is when the list changes`() throws {
            let group = try Group(.tcp, slotCount: 2)
            try group.attach(.connections(newcomers: [0]))
            let first = try Client(.ip(group.address))
            try group.attach(.connections(newcomers: [1]))
            let second = try Client(.ip(group.address))
            #expect(group.accept() == [1, 1])
            withExtendedLifetime((first, second)) {}
        }

        @Test func `a socket that is in no group takes no program`() throws {
            for alone in [try BoundSocket.tcp(loopback(.ipv4)), try .udp(loopback(.ipv4))] {
                #expect(throws: SystemError("setsockopt", code: EINVAL)) {
                    try SteeringProgram.connections(newcomers: [0]).attach(to: alone)
                }
            }
            let unix = try BoundSocket.unix(.abstract(name: "apus-test-\(getpid())-alone"))
            #expect(throws: SystemError.self) { try SteeringProgram.connections(newcomers: [0]).attach(to: unix) }
        }
    }
}

extension [[UInt8]] {
    fileprivate func sorted() -> [[UInt8]] { sorted { $0.lexicographicallyPrecedes($1) } }
}
