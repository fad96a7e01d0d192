import ApusHTTP
import CApusShims
import Glibc
import Testing

@testable import ApusTransport

/// One datagram as a socket received it.
struct Datagram: Sendable, Equatable {
    var bytes: [UInt8]
    var remote: SocketAddress
    var local: SocketAddress
    var ecn: UInt8
}

extension SocketTests {
    @Suite struct UDPTests {
        /// Registers the socket and reports every datagram.
        private func receive(_ socket: Confined<UDPSocket>, on loop: EventLoop) async throws -> Promise<Datagram> {
            let promise = Promise<Datagram>()
            try await loop.run {
                let handler = ClosureHandler { _ in
                    while socket.value.receiveBatch({ bytes, remote, local, ecn in
                        promise.fulfil(Datagram(bytes: Array(bytes), remote: remote, local: local, ecn: ecn))
                    }) {}
                }
                try socket.value.register(on: loop, handler: handler)
            }
            return promise
        }

        @Test(arguments: [SocketAddress.Family.ipv4, .ipv6])
        func aTrainArrivesAsItsDatagramsWithAddressesAndECN(family: SocketAddress.Family) async throws {
            try await withLoop { loop in
                let receiver = try Confined(UDPSocket(address: loopback(family)))
                let sender = try UDPSocket(address: loopback(family))
                let received = try await receive(receiver, on: loop)
                let train = pattern(9 * 1200 + 77)
                for ecn in UInt8(0)...3 {
                    let result = train.withUnsafeBytes {
                        sender.send(
                            $0,
                            segmentSize: 1200,
                            to: receiver.value.localAddress,
                            from: sender.localAddress,
                            ecn: ecn
                        )
                    }
                    #expect(result == .sent)
                    for start in stride(from: 0, to: train.count, by: 1200) {
                        let expected = Datagram(
                            bytes: Array(train[start..<min(start + 1200, train.count)]),
                            remote: sender.localAddress,
                            local: receiver.value.localAddress,
                            ecn: ecn
                        )
                        #expect(try await received.next() == expected)
                    }
                }
                #expect(sender.segmentsInKernel)
                try await loop.run { receiver.value.close() }
            }
        }

        @Test func theKernelHandsOverATrainInOneMessage() async throws {
            let receiver = try UDPSocket(address: loopback(.ipv4))
            let sender = try UDPSocket(address: loopback(.ipv4))
            let train = pattern(20 * 1000)
            #expect(train.withUnsafeBytes { sender.send($0, segmentSize: 1000, to: receiver.localAddress) } == .sent)
            // More datagrams than one call takes messages: they can only have come together.
            var count = 0
            let mayHaveMore = receiver.receiveBatch { _, _, _, _ in count += 1 }
            #expect(count == 20)
            #expect(count > UDPSocket.messagesPerBatch)
            #expect(!mayHaveMore)
        }

        @Test func theLargestTrainIsSentAndALargerDatagramIsDropped() throws {
            let receiver = try UDPSocket(address: loopback(.ipv4))
            let sender = try UDPSocket(address: loopback(.ipv4))
            let train = pattern(UDPSocket.maxSegments * 1000)
            #expect(train.count <= UDPSocket.maxTrainBytes)
            #expect(train.withUnsafeBytes { sender.send($0, segmentSize: 1000, to: receiver.localAddress) } == .sent)
            var sizes: [Int] = []
            while receiver.receiveBatch({ bytes, _, _, _ in sizes.append(bytes.count) }) {}
            #expect(sizes == [Int](repeating: 1000, count: UDPSocket.maxSegments))

            let tooLarge = pattern(65_508)
            let result = tooLarge.withUnsafeBytes {
                sender.send($0, segmentSize: tooLarge.count, to: receiver.localAddress)
            }
            #expect(result == .dropped(EMSGSIZE))
            #expect(
                pattern(70_000).withUnsafeBytes { sender.send($0, segmentSize: 70_000, to: receiver.localAddress) }
                    == .dropped(EMSGSIZE)
            )
        }

        @Test func withoutSegmentationInTheKernelTheSameDatagramsArrive() throws {
            let receiver = try UDPSocket(address: loopback(.ipv4))
            let sender = try UDPSocket(address: loopback(.ipv4))
            sender.segmentsInKernel = false
            let train = pattern(2500)
            #expect(train.withUnsafeBytes { sender.send($0, segmentSize: 1000, to: receiver.localAddress) } == .sent)
            var datagrams: [[UInt8]] = []
            while datagrams.count < 3 {
                _ = receiver.receiveBatch { bytes, _, _, _ in datagrams.append(Array(bytes)) }
            }
            #expect(datagrams == [Array(train[..<1000]), Array(train[1000..<2000]), Array(train[2000...])])
        }

        @Test func aBatchTellsThatMoreMayWait() throws {
            let receiver = try UDPSocket(address: loopback(.ipv4))
            // Different senders, so that the kernel cannot put their datagrams together.
            let senders = try (0...UDPSocket.messagesPerBatch).map { _ in try UDPSocket(address: loopback(.ipv4)) }
            for sender in senders {
                #expect(
                    pattern(10).withUnsafeBytes { sender.send($0, segmentSize: 10, to: receiver.localAddress) } == .sent
                )
            }
            var remotes: [SocketAddress] = []
            #expect(receiver.receiveBatch { _, remote, _, _ in remotes.append(remote) })
            #expect(remotes.count == UDPSocket.messagesPerBatch)
            #expect(!receiver.receiveBatch { _, remote, _, _ in remotes.append(remote) })
            #expect(remotes == senders.map(\.localAddress))
        }

        @Test func aReplyLeavesFromTheAddressThatWasAsked() throws {
            // Every address of 127/8 is ours; the route alone would choose 127.0.0.1.
            let server = try UDPSocket(address: try #require(SocketAddress(literal: "0.0.0.0", port: 0)))
            let client = try UDPSocket(address: loopback(.ipv4))
            let asked = try #require(SocketAddress(literal: "127.0.0.42", port: server.localAddress.port))
            #expect(pattern(10).withUnsafeBytes { client.send($0, segmentSize: 10, to: asked) } == .sent)
            var seen: (remote: SocketAddress, local: SocketAddress)?
            _ = server.receiveBatch { _, remote, local, _ in seen = (remote, local) }
            let (remote, local) = try #require(seen)
            #expect(local == asked)
            let reply = pattern(3000)
            #expect(
                reply.withUnsafeBytes { server.send($0, segmentSize: 1000, to: remote, from: local, ecn: 2) } == .sent
            )
            var answers: [SocketAddress] = []
            _ = client.receiveBatch { _, remote, _, _ in answers.append(remote) }
            #expect(answers == [asked, asked, asked])
        }

        @Test func batchesOfAnySizeFollowEachOther() throws {
            let receiver = try UDPSocket(address: loopback(.ipv4))
            let senders = try (0..<UDPSocket.messagesPerBatch).map { _ in try UDPSocket(address: loopback(.ipv4)) }
            var generator = SeededGenerator(seed: 7)
            for _ in 0..<200 {
                let used = senders.prefix(Int.random(in: 0...senders.count, using: &generator))
                for (index, sender) in used.enumerated() {
                    let bytes = pattern(1 + index)
                    let result = bytes.withUnsafeBytes {
                        sender.send($0, segmentSize: $0.count, to: receiver.localAddress, ecn: UInt8(index % 4))
                    }
                    #expect(result == .sent)
                }
                var received: [Datagram] = []
                let mayHaveMore = receiver.receiveBatch { bytes, remote, local, ecn in
                    received.append(Datagram(bytes: Array(bytes), remote: remote, local: local, ecn: ecn))
                }
                #expect(mayHaveMore == (used.count == UDPSocket.messagesPerBatch))
                let expected = used.enumerated()
                    .map { index, sender in
                        Datagram(
                            bytes: pattern(1 + index),
                            remote: sender.localAddress,
                            local: receiver.localAddress,
                            ecn: UInt8(index % 4)
                        )
                    }
                #expect(received == expected)
            }
        }

        @Test func aSourceThatIsNotOursIsALostPacketAndNoMore() throws {
            let socket = try UDPSocket(address: try #require(SocketAddress(literal: "0.0.0.0", port: 0)))
            let foreign = try #require(SocketAddress(literal: "192.0.2.1", port: 1))
            let to = try loopback(.ipv4, port: socket.localAddress.port)
            let result = pattern(10).withUnsafeBytes { socket.send($0, segmentSize: 10, to: to, from: foreign) }
            guard case .dropped = result else {
                Issue.record("\(result)")
                return
            }
            #expect(pattern(10).withUnsafeBytes { socket.send($0, segmentSize: 10, to: to) } == .sent)
        }

        @Test func oneFamilyEachMayShareAPortNumber() throws {
            let six = try UDPSocket(address: try #require(SocketAddress(literal: "::", port: 0)))
            let port = six.localAddress.port
            let four = try UDPSocket(address: try #require(SocketAddress(literal: "0.0.0.0", port: port)))
            #expect(four.localAddress.port == port)
        }

        @Test func anAddressInUseShowsWhenTheSocketIsMadeUnlessBothShareIt() throws {
            let first = try UDPSocket(address: loopback(.ipv4))
            #expect(throws: SystemError("bind", code: EADDRINUSE)) { _ = try UDPSocket(address: first.localAddress) }
            first.close()
            let shared = try UDPSocket(address: loopback(.ipv4), reusePort: true)
            let second = try UDPSocket(address: shared.localAddress, reusePort: true)
            #expect(second.localAddress == shared.localAddress)
        }

        @Test func writableIsReportedWhileItIsWanted() async throws {
            try await withLoop { loop in
                let socket = try Confined(UDPSocket(address: loopback(.ipv4)))
                let writable = Promise<Bool>()
                let calls = Confined(0)
                try await loop.run {
                    let handler = ClosureHandler { events in
                        calls.value += 1
                        try? socket.value.setWantsWritable(false)
                        writable.fulfil(events.contains(.writable))
                    }
                    try socket.value.register(on: loop, handler: handler)
                }
                #expect(try await loop.run { calls.value } == 0)
                try await loop.run { try socket.value.setWantsWritable(true) }
                #expect(try await writable.next())
                try await loop.run {}
                #expect(try await loop.run { calls.value } == 1)
                try await loop.run { socket.value.close() }
            }
        }

        @Test func aClosedSocketIsSilent() throws {
            let socket = try UDPSocket(address: loopback(.ipv4))
            let address = socket.localAddress
            socket.close()
            socket.close()
            #expect(!socket.receiveBatch { _, _, _, _ in Issue.record("received") })
            #expect(pattern(1).withUnsafeBytes { socket.send($0, segmentSize: 1, to: address) } == .dropped(EBADF))
        }
    }
}
