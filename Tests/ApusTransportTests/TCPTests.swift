import ApusHTTP
import CApusShims
import Glibc
import Synchronization
import Testing

@testable import ApusTransport

/// What a test does with each accepted connection.
typealias Serve = (TCPSocket, IOEvents) -> Void

/// Listens on the loop, and calls `serve` with the events of every connection.
func listen(
    on loop: EventLoop,
    _ address: BindAddress,
    backlog: Int32 = 128,
    serve: @escaping Serve
) async throws -> (listener: Confined<TCPListener>, address: BindAddress) {
    let serve = Confined(serve)
    let listener = try Confined(TCPListener(address: address, backlog: backlog))
    try await loop.run {
        try listener.value.start(on: loop) { socket in
            let handler = ClosureHandler { serve.value(socket, $0) }
            try? socket.register(on: loop, handler: handler)
        }
    }
    return (listener, listener.value.localAddress)
}

/// Sends back what comes until the peer's end, then closes.
func echo(_ loop: EventLoop) -> Serve {
    { socket, _ in
        while true {
            switch socket.read(into: loop.readBuffer) {
            case .bytes(let count):
                _ = write(socket, UnsafeRawBufferPointer(loop.readBuffer)[..<count])
            case .wouldBlock: return
            case .end, .failed: return socket.close()
            }
        }
    }
}

func write(_ socket: TCPSocket, _ bytes: Slice<UnsafeRawBufferPointer>) -> WriteResult {
    let bytes = UnsafeRawBufferPointer(rebasing: bytes)
    let vector = iovec(iov_base: UnsafeMutableRawPointer(mutating: bytes.baseAddress), iov_len: bytes.count)
    return withUnsafePointer(to: vector) { socket.write(UnsafeBufferPointer(start: $0, count: 1)) }
}

extension SocketTests {
    @Suite struct TCPTests {
        @Test(arguments: [SocketAddress.Family.ipv4, .ipv6])
        func bytesComeBackFromAnEchoOnAPortThatTheKernelChose(family: SocketAddress.Family) async throws {
            try await withLoop { loop in
                let addresses = Promise<[SocketAddress?]>()
                let serve = echo(loop)
                let (listener, address) = try await listen(on: loop, .ip(loopback(family))) { socket, events in
                    addresses.fulfil([socket.peerAddress, socket.localAddress])
                    serve(socket, events)
                }
                let client = try Client(address)
                try client.write(pattern(1000))
                #expect(try client.readAll(1000) == pattern(1000))
                client.finish()
                #expect(try client.read(1).isEmpty)
                let seen = try await addresses.next()
                #expect(seen[0] == SocketAddress.local(of: client.descriptor))
                #expect(seen[1].map { BindAddress.ip($0) } == address)
                try await loop.run { listener.value.close() }
            }
        }

        @Test func anIPv4ClientOfADualStackListenerHasAnIPv4Address() async throws {
            try await withLoop { loop in
                let peer = Promise<SocketAddress?>()
                let any = try #require(SocketAddress(literal: "::", port: 0))
                let (listener, address) = try await listen(on: loop, .ip(any)) { socket, _ in
                    peer.fulfil(socket.peerAddress)
                    socket.close()
                }
                guard case .ip(let bound) = address else { return }
                let client = try Client(.ip(loopback(.ipv4, port: bound.port)))
                #expect(try await peer.next() == SocketAddress.local(of: client.descriptor))
                try await loop.run { listener.value.close() }
            }
        }

        @Test func thePeersEndIsNoticedByOneWhoDoesNotRead() async throws {
            try await withLoop { loop in
                let events = Promise<IOEvents>()
                let (listener, address) = try await listen(on: loop, .ip(loopback(.ipv4))) { events.fulfil($1) }
                let client = try Client(address)
                try client.write([1, 2, 3])
                client.finish()
                var seen: IOEvents = []
                while !seen.contains(.peerClosed) { seen = try await events.next() }
                #expect(seen.contains(.readable))
                try await loop.run { listener.value.close() }
            }
        }

        @Test func abortResetsAndCloseFinishes() async throws {
            try await withLoop { loop in
                let (listener, address) = try await listen(on: loop, .ip(loopback(.ipv4))) { socket, events in
                    guard case .bytes = socket.read(into: loop.readBuffer) else { return }
                    if loop.readBuffer[0] == 1 { socket.abort() } else { socket.close() }
                    // Neither minds being repeated.
                    socket.abort()
                    socket.close()
                    #expect(socket.isClosed)
                }
                let aborted = try Client(address)
                try aborted.write([1])
                #expect(throws: SystemError("recv", code: ECONNRESET)) { try aborted.read(1) }
                let closed = try Client(address)
                try closed.write([2])
                #expect(try closed.read(1).isEmpty)
                try await loop.run { listener.value.close() }
            }
        }

        @Test func shutdownWriteLeavesReadingOpen() async throws {
            try await withLoop { loop in
                let received = Promise<Int>()
                let hasShutDown = Confined(false)
                let (listener, address) = try await listen(on: loop, .ip(loopback(.ipv4))) { socket, _ in
                    if !hasShutDown.value { socket.shutdownWrite() }
                    hasShutDown.value = true
                    if case .bytes(let count) = socket.read(into: loop.readBuffer) { received.fulfil(count) }
                }
                let client = try Client(address)
                #expect(try client.read(1).isEmpty)
                try client.write([1, 2, 3])
                #expect(try await received.next() == 3)
                try await loop.run { listener.value.close() }
            }
        }

        @Test func aLargeVectoredWriteGoesOnWhenThePeerHasRead() async throws {
            let (pieces, size) = (2000, 4096)
            let body = pattern(pieces * size)
            try await withLoop { loop in
                let blocked = Promise<Int>()
                let written = Confined(0)
                let (listener, address) = try await listen(on: loop, .ip(loopback(.ipv4))) { socket, events in
                    guard events.contains(.writable) else { return }
                    body.withUnsafeBytes { body in
                        while written.value < body.count {
                            // More pieces than one call takes, so that the bound is met as well.
                            let vectors = stride(from: written.value, to: body.count, by: size)
                                .map { start in
                                    iovec(
                                        iov_base: UnsafeMutableRawPointer(
                                            mutating: body.baseAddress.map { $0 + start }
                                        ),
                                        iov_len: min(size, body.count - start)
                                    )
                                }
                            switch vectors.withUnsafeBufferPointer({ socket.write($0) }) {
                            case .wrote(let count): written.value += count
                            case .wouldBlock: return blocked.fulfil(written.value)
                            case .failed(let code):
                                Issue.record(SystemError("write", code: code))
                                return socket.abort()
                            }
                        }
                        socket.close()
                    }
                }
                let client = try Client(address)
                #expect(try await blocked.next() < body.count)
                #expect(try client.readAll() == body)
                try await loop.run { listener.value.close() }
            }
        }

        @Test func writingToAPeerThatHasGoneFailsWithoutASignal() async throws {
            try await withLoop { loop in
                let failure = Promise<Int32>()
                let (listener, address) = try await listen(on: loop, .ip(loopback(.ipv4))) { socket, events in
                    guard events.contains(.hangUp) || events.contains(.error) else { return }
                    while true {
                        let result = write(socket, UnsafeRawBufferPointer(loop.readBuffer)[..<100])
                        guard case .failed(let code) = result else { continue }
                        failure.fulfil(code)
                        if code == EPIPE { return socket.close() }
                    }
                }
                do {
                    let client = try Client(address)
                    var option = linger(l_onoff: 1, l_linger: 0)
                    setsockopt(client.descriptor, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
                }
                #expect(try await failure.next() == ECONNRESET)
                #expect(try await failure.next() == EPIPE)
                try await loop.run { listener.value.close() }
            }
        }

        @Test func sendFileSendsTheAskedPartAndZeroPastTheEnd() async throws {
            let file = memfd(pattern(10_000))
            defer { close(file) }
            try await withLoop { loop in
                let pastTheEnd = Promise<WriteResult>()
                let (listener, address) = try await listen(on: loop, .ip(loopback(.ipv4))) { socket, _ in
                    #expect(socket.sendFile(from: file, offset: 500, count: 2000) == .wrote(2000))
                    pastTheEnd.fulfil(socket.sendFile(from: file, offset: 10_000, count: 10))
                    socket.close()
                }
                let client = try Client(address)
                #expect(try client.readAll() == Array(pattern(10_000)[500..<2500]))
                #expect(try await pastTheEnd.next() == .wrote(0))
                try await loop.run { listener.value.close() }
            }
        }

        @Test func closingInTheMiddleOfOthersEventsIsSafe() async throws {
            // Every connection that hears anything closes all others: events of the same batch must find nobody.
            try await withLoop { loop in
                let sockets = Confined<[TCPSocket]>([])
                let calls = Confined(0)
                let (listener, address) = try await listen(on: loop, .ip(loopback(.ipv4))) { socket, events in
                    guard !events.contains(.peerClosed), events.contains(.readable) else {
                        if !sockets.value.contains(where: { $0 === socket }) { sockets.value.append(socket) }
                        return
                    }
                    #expect(!socket.isClosed)
                    calls.value += 1
                    sockets.value.forEach { $0.close() }
                    socket.close()
                }
                let clients = try (0..<20).map { _ in try Client(address) }
                while try await loop.run({ sockets.value.count }) < clients.count {}
                try await loop.run {
                    // Within one job, so that the loop sees all of them in its next batch.
                    clients.forEach { try? $0.write([1]) }
                }
                for client in clients { _ = try? client.read(1) }
                #expect(try await loop.run { calls.value } == 1)
                try await loop.run { listener.value.close() }
            }
        }
    }
}

/// A file in memory that has these bytes.
private func memfd(_ bytes: [UInt8]) -> Int32 {
    var template = Array("/tmp/apus-sendfile-XXXXXX".utf8CString)
    let file = mkstemp(&template)
    unlink(template)
    _ = bytes.withUnsafeBytes { Glibc.write(file, $0.baseAddress, $0.count) }
    return file
}
