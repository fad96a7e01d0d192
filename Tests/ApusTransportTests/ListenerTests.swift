import ApusHTTP
import CApusShims
import Glibc
import Synchronization
import Testing

@testable import ApusTransport

extension SocketTests {
    @Suite struct ListenerTests {
        @Test func anAddressInUseShowsWhenTheListenerIsMade() throws {
            let first = try TCPListener(address: .ip(loopback(.ipv4)))
            let error = #expect(throws: SystemError.self) { _ = try TCPListener(address: first.localAddress) }
            #expect(error?.description == "bind: Address already in use")
            first.close()
            #expect(isClosedSoon { (try? TCPListener(address: first.localAddress).close()) != nil })
        }

        @Test func listenersThatSayReusePortShareAPort() throws {
            let first = try TCPListener(address: .ip(loopback(.ipv4)), reusePort: true)
            let second = try TCPListener(address: first.localAddress, reusePort: true)
            #expect(first.localAddress == second.localAddress)
            first.close()
            second.close()
        }

        @Test func bothFamiliesMayListenApartOnOnePort() throws {
            let anySix = try #require(SocketAddress(literal: "::", port: 0))
            // A port that is free for IPv6 may be another test's for IPv4: one of several is not.
            let bothWereBound = try (0..<10)
                .contains { _ in
                    let six = try TCPListener(address: .ip(anySix), dualStack: false)
                    defer { six.close() }
                    guard case .ip(let bound) = six.localAddress else { return false }
                    let anyFour = try #require(SocketAddress(literal: "0.0.0.0", port: bound.port))
                    guard let four = try? TCPListener(address: .ip(anyFour)) else { return false }
                    four.close()
                    return true
                }
            #expect(bothWereBound)
        }

        @Test func moreConnectionsThanABatchAreAllAccepted() async throws {
            let count = 2 * TCPListener.acceptBatch + 3
            try await withLoop { loop in
                let (listener, address) = try await listen(
                    on: loop,
                    .ip(loopback(.ipv4)),
                    backlog: 1024,
                    serve: echo(loop)
                )
                try await loop.run { listener.value.pause() }
                let clients = try (0..<count).map { _ in try Client(address) }
                try await loop.run { try listener.value.resume() }
                for client in clients {
                    try client.write([7])
                    #expect(try client.read(1) == [7])
                }
                try await loop.run { listener.value.close() }
            }
        }

        @Test func aStartedListenerLivesAsLongAsItsLoopRuns() async throws {
            let loop = try EventLoop(name: "owner")
            try loop.start()
            let accepted = Promise<Bool>()
            let reference = Confined(Weak<TCPListener>())
            let address = try await loop.run {
                let listener = try TCPListener(address: .ip(loopback(.ipv4)))
                try listener.start(on: loop, onAccept: { _ in accepted.fulfil(true) })
                reference.value.object = listener
                return listener.localAddress
            }
            let client = try Client(address)
            #expect(try await accepted.next())
            #expect(try client.read(1).isEmpty)
            loop.stop()
            loop.join()
            #expect(reference.value.object == nil)
            #expect(isRefused(address))
        }

        @Test func acceptedSocketsAreNonBlockingAndWithoutDelay() async throws {
            try await withLoop { loop in
                let options = Promise<[Int32]>()
                let (listener, address) = try await listen(on: loop, .ip(loopback(.ipv4))) { socket, _ in
                    var value: Int32 = 0
                    var length = socklen_t(MemoryLayout<Int32>.size)
                    getsockopt(socket.descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &value, &length)
                    let flags = fcntl(socket.descriptor, F_GETFL) & O_NONBLOCK
                    let closeOnExec = fcntl(socket.descriptor, F_GETFD) & FD_CLOEXEC
                    options.fulfil([value, flags, closeOnExec])
                }
                let client = try Client(address)
                #expect(try await options.next() == [1, O_NONBLOCK, FD_CLOEXEC])
                client.finish()
                try await loop.run { listener.value.close() }
            }
        }

        @Test func closingResetsWhatWasNotAcceptedAndRefusesWhatComes() async throws {
            try await withLoop { loop in
                let (listener, address) = try await listen(on: loop, .ip(loopback(.ipv4)), serve: echo(loop))
                try await loop.run { listener.value.pause() }
                let waiting = try Client(address)
                try await loop.run {
                    listener.value.close()
                    listener.value.close()
                }
                #expect(throws: SystemError("recv", code: ECONNRESET)) { try waiting.read(1) }
                #expect(isRefused(address))
            }
        }

        @Test func aListenerWithoutDescriptorsSaysSoOnceAndAcceptsLater() async throws {
            try await withLoop { loop in
                let (reports, accepted) = (Confined<[SystemError]>([]), Promise<Bool>())
                let reported = Promise<SystemError>()
                let listener = try Confined(TCPListener(address: .ip(loopback(.ipv4))))
                let fillers = try await loop.run {
                    // The loop's thread gets a descriptor table of its own, so that nobody else suffers.
                    try #require(unshareDescriptors(keeping: listener.value.descriptor))
                    try listener.value.start(
                        on: loop,
                        onAccept: { _ in accepted.fulfil(true) },
                        onPause: { error in
                            reports.value.append(error)
                            reported.fulfil(error)
                        }
                    )
                    return fillDescriptorTable()
                }
                let client = try Client(listener.value.localAddress)
                #expect(try await reported.next() == SystemError("accept", code: EMFILE))
                // Several pauses later there is still only one report.
                let start = try await loop.run { loop.now }
                while try await loop.run({ loop.now.since(start) }) < .milliseconds(250) { await Task.yield() }
                try await loop.run {
                    #expect(reports.value.count == 1)
                    fillers.forEach { close($0) }
                }
                #expect(try await accepted.next())
                client.finish()
                try await loop.run { listener.value.close() }
            }
        }
    }
}

/// A reference that does not keep its object.
private struct Weak<Object: AnyObject> {
    weak var object: Object?
}

/// Gives the calling thread its own copy of the descriptor table, with one socket in it: others' sockets
/// must not stay open because of the copy.
private func unshareDescriptors(keeping kept: Int32) -> Bool {
    // Not in the module that Swift sees of the C library.
    guard let symbol = dlsym(nil, "unshare") else { return false }
    let unshare = unsafeBitCast(symbol, to: (@convention(c) (Int32) -> Int32).self)
    let cloneFiles: Int32 = 0x400
    guard unshare(cloneFiles) == 0 else { return false }
    for descriptor in 0..<Int32(1024) where descriptor != kept {
        var status = stat()
        if fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFSOCK { close(descriptor) }
    }
    return true
}

private func fillDescriptorTable() -> [Int32] {
    var descriptors: [Int32] = []
    while true {
        let descriptor = dup(0)
        guard descriptor >= 0 else { return descriptors }
        descriptors.append(descriptor)
    }
}

extension SocketTests {
    @Suite struct UnixSocketTests {
        private let directory: String

        init() throws {
            var template = Array("/tmp/apus-unix-XXXXXX".utf8CString)
            try template.withUnsafeMutableBufferPointer { buffer in
                let base = try #require(buffer.baseAddress)
                _ = try #require(mkdtemp(base))
            }
            directory = String(decoding: template.dropLast().map(UInt8.init), as: UTF8.self)
        }

        private func status(_ path: String) -> stat? {
            var status = stat()
            return lstat(path, &status) == 0 ? status : nil
        }

        @Test func bytesComeBackAndTheFileGoesWithTheListener() async throws {
            let path = directory + "/socket"
            try await withLoop { loop in
                let (listener, address) = try await listen(on: loop, .unix(path: path), serve: echo(loop))
                #expect(address.description == "unix:\(path)")
                // 0666 less the umask: no execute bits, and no more than the umask leaves to everybody.
                #expect(status(path).map { $0.st_mode & 0o7111 } == 0)
                let client = try Client(address)
                try client.write([1, 2, 3])
                #expect(try client.readAll(3) == [1, 2, 3])
                try await loop.run { listener.value.close() }
            }
            #expect(status(path) == nil)
            rmdir(directory)
        }

        @Test func aFileThatADeadServerLeftIsReplaced() throws {
            let path = directory + "/stale"
            let first = try TCPListener(address: .unix(path: path))
            // A second name for the socket survives the first server.
            link(path, path + ".kept")
            first.close()
            rename(path + ".kept", path)
            #expect(status(path) != nil)
            #expect(isRefused(.unix(path: path)))
            try TCPListener(address: .unix(path: path)).close()
            #expect(status(path) == nil)
            rmdir(directory)
        }

        @Test func aLiveServersFileIsLeftAlone() throws {
            let path = directory + "/live"
            let first = try TCPListener(address: .unix(path: path))
            #expect(throws: SystemError("bind", code: EADDRINUSE)) { _ = try TCPListener(address: .unix(path: path)) }
            #expect(status(path) != nil)
            first.close()
            rmdir(directory)
        }

        @Test func aFileThatIsNoSocketOrNotOursIsLeftAlone() throws {
            let path = directory + "/file"
            close(open(path, O_CREAT | O_WRONLY, 0o600))
            #expect(throws: SystemError("bind", code: EEXIST)) { _ = try TCPListener(address: .unix(path: path)) }
            unlink(path)
            let listener = try TCPListener(address: .unix(path: path))
            unlink(path)
            close(open(path, O_CREAT | O_WRONLY, 0o600))
            listener.close()
            #expect(status(path) != nil)
            unlink(path)
            rmdir(directory)
        }

        @Test func aPathMayFillTheAddressAndNoMore() throws {
            let longest = directory + "/" + String(repeating: "x", count: 107 - directory.utf8.count - 1)
            try TCPListener(address: .unix(path: longest)).close()
            #expect(throws: SystemError("bind", code: ENAMETOOLONG)) {
                _ = try TCPListener(address: .unix(path: longest + "x"))
            }
            rmdir(directory)
        }
    }
}

@Suite struct ResolverTests {
    @Test(arguments: [
        ("127.0.0.1:80", ["127.0.0.1:80"]), ("[::1]:8443", ["[::1]:8443"]), (":0", ["[::]:0"]),
        ("localhost:65535", ["127.0.0.1:65535", "[::1]:65535"]), ("0.0.0.0:1", ["0.0.0.0:1"]),
    ])
    func hostAndPortBecomeAddresses(text: String, expected: [String]) throws {
        #expect(try SocketAddress.resolve(text).map(\.description) == expected)
    }

    @Test(arguments: ["", "80", "host", "host:", "host:65536", "host:-1", "host:+1", "host:８", "::1:80", "a:b:1"])
    func whatIsNotHostAndPortIsRefused(text: String) {
        #expect(throws: ResolveError.self) { try SocketAddress.resolve(text) }
    }

    @Test func datagramsNeedASocketForEachFamilyOfTheAnyAddress() throws {
        for (text, expected) in [
            ("[::]:8443", ["[::]:8443", "0.0.0.0:8443"]), ("0.0.0.0:8443", ["0.0.0.0:8443"]), ("[::1]:1", ["[::1]:1"]),
        ] {
            let address = try #require(try SocketAddress.resolve(text).first)
            #expect(address.datagramAddresses.map(\.description) == expected)
        }
    }

    @Test func aNameThatDoesNotExistIsNamedInTheError() {
        let error = #expect(throws: ResolveError.self) { try SocketAddress.resolve("nowhere.invalid:80") }
        #expect(error?.description.contains("nowhere.invalid") == true)
    }
}
