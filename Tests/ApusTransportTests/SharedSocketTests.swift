import ApusHTTP
import CApusShims
import Glibc
import Testing

@testable import ApusTransport

/// The events for which each epoll instance of this process watches a descriptor.
private func watchedEvents(_ descriptor: Int32) throws -> [UInt32] {
    var events: [UInt32] = []
    let directory = try #require(opendir("/proc/self/fdinfo"))
    defer { closedir(directory) }
    while let entry = readdir(directory) {
        let name = withUnsafeBytes(of: entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        guard let file = fopen("/proc/self/fdinfo/\(name)", "r") else { continue }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 256)
        while fgets(&line, Int32(line.count), file) != nil {
            let words = String(decoding: line.prefix { $0 != 0 }.map(UInt8.init), as: UTF8.self).split(separator: " ")
            // "tfd: 12 events: 10000001 data: ..."
            guard words.count > 3, words[0] == "tfd:", words[1] == "\(descriptor)" else { continue }
            events.append(try #require(UInt32(words[3], radix: 16)))
        }
    }
    return events.sorted()
}

/// What the kernel adds to any interest.
private let always = EPOLLERR.rawValue | EPOLLHUP.rawValue

extension SocketTests {
    @Suite struct SharedSocketTests {
        @Test func `two loops accept from one socket, and what one leaves the other takes`() async throws {
            let socket = try BoundSocket.tcp(loopback(.ipv4))
            try await withLoop { first in
                try await withLoop { second in
                    let accepted = Promise<Int>()
                    var listeners: [Confined<TCPListener>] = []
                    for (number, loop) in [first, second].enumerated() {
                        listeners.append(
                            try await loop.run {
                                let listener = TCPListener(socket: socket, isShared: true)
                                try listener.start(on: loop, onAccept: { _ in accepted.fulfil(number) })
                                return Confined(listener)
                            }
                        )
                    }
                    let exclusive = EPOLLIN.rawValue | EPOLLEXCLUSIVE.rawValue | always
                    #expect(try watchedEvents(socket.descriptor) == [exclusive, exclusive])
                    func connect(_ count: Int) async throws -> Set<Int> {
                        let clients = try (0..<count).map { _ in try Client(socket.address) }
                        var takers: Set<Int> = []
                        for _ in clients { takers.insert(try await accepted.next()) }
                        return takers
                    }
                    #expect(try await connect(200).isSubset(of: [0, 1]))
                    let (one, other) = (listeners[0], listeners[1])
                    try await first.run { one.value.pause() }
                    #expect(try await connect(100) == [1])
                    try await first.run { try one.value.resume() }
                    try await second.run { other.value.stop() }
                    #expect(try await connect(100) == [0])
                    try await first.run { one.value.stop() }
                    #expect(try watchedEvents(socket.descriptor).isEmpty)
                }
            }
            #expect(throws: Never.self) { try Client(socket.address) }
        }

        @Test func `a paused listener takes what waits when it is told to`() async throws {
            try await withLoop { loop in
                let accepted = Confined(0)
                let listener = try Confined(TCPListener(address: .ip(loopback(.ipv4))))
                try await loop.run {
                    try listener.value.start(on: loop, onAccept: { _ in accepted.value += 1 })
                    listener.value.pause()
                }
                let clients = try (0..<5).map { _ in try Client(listener.value.localAddress) }
                #expect(try await loop.run { accepted.value } == 0)
                try await loop.run { listener.value.accept(atMost: 3) }
                #expect(try await loop.run { accepted.value } == 3)
                try await loop.run { listener.value.accept(atMost: 100) }
                #expect(try await loop.run { accepted.value } == 5)
                #expect(try watchedEvents(listener.value.descriptor).isEmpty)
                withExtendedLifetime(clients) {}
                try await loop.run {
                    listener.value.stop()
                    // Nobody is there to take anything.
                    listener.value.accept(atMost: 1)
                    listener.value.close()
                }
            }
        }

        @Test func `a listener that stops in its callback accepts no more, and may start again`() async throws {
            try await withLoop { loop in
                let listener = try Confined(TCPListener(address: .ip(loopback(.ipv4))))
                let accepted = Promise<Int>()
                try await loop.run {
                    try listener.value.start(on: loop) { _ in
                        listener.value.stop()
                        accepted.fulfil(1)
                    }
                }
                let clients = try (0..<2).map { _ in try Client(listener.value.localAddress) }
                #expect(try await accepted.next() == 1)
                #expect(try await loop.run { listener.value.registration == nil })
                try await loop.run { try listener.value.start(on: loop) { _ in accepted.fulfil(2) } }
                #expect(try await accepted.next() == 2)
                withExtendedLifetime(clients) {}
                try await loop.run { listener.value.close() }
            }
        }

        @Test func `a UDP socket that another reads is watched for room only while that is wanted`() async throws {
            try await withLoop { loop in
                let socket = try Confined(UDPSocket(address: loopback(.ipv4)))
                let sender = try UDPSocket(address: loopback(.ipv4))
                let descriptor = socket.value.descriptor
                let seen = Promise<IOEvents>()
                let calls = Confined(0)
                try await loop.run {
                    let handler = ClosureHandler { events in
                        calls.value += 1
                        if events.contains(.writable) { try? socket.value.setWantsWritable(false) }
                        if events.contains(.readable) { while socket.value.receiveBatch({ _, _, _, _ in }) {} }
                        seen.fulfil(events)
                    }
                    try socket.value.register(on: loop, handler: handler, isReading: false)
                }
                #expect(try watchedEvents(descriptor) == [always])
                let send = {
                    pattern(9).withUnsafeBytes { sender.send($0, segmentSize: 9, to: socket.value.localAddress) }
                }
                #expect(send() == .sent)
                try await loop.run { try socket.value.setWantsWritable(true) }
                #expect(try await seen.next() == .writable)
                #expect(try watchedEvents(descriptor) == [always])
                #expect(try await loop.run { calls.value } == 1)

                try await loop.run { try socket.value.setReading(true) }
                #expect(try await seen.next() == .readable)
                #expect(try watchedEvents(descriptor) == [always | EPOLLIN.rawValue])
                try await loop.run { try socket.value.setWantsWritable(true) }
                #expect(try await seen.next() == .writable)
                #expect(try watchedEvents(descriptor) == [always | EPOLLIN.rawValue])
                try await loop.run { try socket.value.setReading(false) }
                #expect(try watchedEvents(descriptor) == [always])

                try await loop.run {
                    socket.value.stop()
                    socket.value.stop()
                }
                #expect(try watchedEvents(descriptor).isEmpty)
                // Stopped is not closed: it sends and can be read by hand.
                #expect(send() == .sent)
                try await loop.run {
                    var count = 0
                    _ = socket.value.receiveBatch { _, _, _, _ in count += 1 }
                    #expect(count == 1)
                    socket.value.close()
                }
            }
        }
    }
}
