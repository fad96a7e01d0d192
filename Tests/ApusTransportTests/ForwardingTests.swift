import ApusHTTP
import CApusShims
import Glibc
import Testing

@testable import ApusTransport

/// One datagram as the slot's worker gets it.
private struct Forwarded: Equatable, Sendable {
    var bytes: [UInt8]
    var place: Int
    var remote: SocketAddress
    var local: SocketAddress
    var ecn: UInt8
}

/// Both ends of one slot's pair.
private final class Pair {
    let (sender, receiver): (Int32, Int32)
    let forwarder: DatagramForwarder
    let forwarded: ForwardedDatagrams

    init() throws {
        (sender, receiver) = try ForwardingPair.make()
        forwarder = DatagramForwarder(sender: sender)
        forwarded = ForwardedDatagrams(receiver: receiver)
    }

    deinit {
        close(sender)
        close(receiver)
    }

    func forward(_ datagram: Forwarded) -> Bool {
        datagram.bytes.withUnsafeBytes {
            forwarder.forward(
                $0,
                place: datagram.place,
                remote: datagram.remote,
                local: datagram.local,
                ecn: datagram.ecn
            )
        }
    }

    func receiveBatch() -> (datagrams: [Forwarded], mayHaveMore: Bool) {
        var datagrams: [Forwarded] = []
        let mayHaveMore = forwarded.receiveBatch { bytes, place, remote, local, ecn in
            datagrams.append(Forwarded(bytes: Array(bytes), place: place, remote: remote, local: local, ecn: ecn))
        }
        return (datagrams, mayHaveMore)
    }

    func write(_ message: [UInt8]) {
        #expect(send(sender, message, message.count, Int32(MSG_NOSIGNAL)) == message.count)
    }
}

private func datagram(_ count: Int, _ family: SocketAddress.Family = .ipv4, ecn: UInt8 = 0) throws -> Forwarded {
    let remote = try #require(SocketAddress(literal: family == .ipv4 ? "192.0.2.7" : "2001:db8::7", port: 50_000))
    return Forwarded(bytes: pattern(count), place: 3, remote: remote, local: try loopback(family, port: 443), ecn: ecn)
}

extension SocketTests {
    @Suite struct ForwardingTests {
        @Test(arguments: [SocketAddress.Family.ipv4, .ipv6])
        func `a datagram arrives as it came, with its addresses, its place and its ECN bits`(
            family: SocketAddress.Family
        ) async throws {
            try await withLoop { loop in
                let pair = try Confined(Pair())
                let received = Promise<Forwarded>()
                try await loop.run {
                    let handler = ClosureHandler { _ in
                        for datagram in pair.value.receiveBatch().datagrams { received.fulfil(datagram) }
                    }
                    try pair.value.forwarded.register(on: loop, handler: handler)
                }
                for (count, ecn) in [(1, UInt8(0)), (1200, 1), (1500, 2), (65_507, 3)] {
                    let sent = try datagram(count, family, ecn: ecn)
                    #expect(pair.value.forward(sent))
                    #expect(try await received.next() == sent)
                }
                try await loop.run {
                    pair.value.forwarded.stop()
                    pair.value.forwarded.stop()
                }
                // What comes now waits for the next reader.
                #expect(pair.value.forward(try datagram(7, family)))
                #expect(try await loop.run { pair.value.receiveBatch().datagrams } == [try datagram(7, family)])
            }
        }

        @Test func `a link-local address keeps its interface`() throws {
            var raw = sockaddr_in6()
            raw.sin6_family = sa_family_t(AF_INET6)
            raw.sin6_port = UInt16(4000).bigEndian
            raw.sin6_scope_id = 5
            withUnsafeMutableBytes(of: &raw.sin6_addr) { $0.copyBytes(from: [0xfe, 0x80]) }
            let remote = withUnsafePointer(to: raw) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { SocketAddress($0) }
            }
            var sent = try datagram(1, .ipv6)
            sent.remote = try #require(remote)
            let pair = try Pair()
            #expect(pair.forward(sent))
            #expect(pair.receiveBatch().datagrams == [sent])
        }

        @Test func `a slot that does not read loses what is past its buffer, and no more`() throws {
            let pair = try Pair()
            let one = try datagram(1200)
            var sent = 0
            while pair.forward(one) { sent += 1 }
            #expect(pair.forwarder.lostCount == 1)
            // More than the few that the kernel lets wait at a socket of many senders; no more than the buffer has.
            #expect(sent > ForwardedDatagrams.datagramsPerBatch)
            #expect(sent * one.bytes.count <= 2 * Int(ForwardingPair.bufferBytes))
            #expect(!pair.forward(one))
            #expect(pair.forwarder.lostCount == 2)
            var received = 0
            while true {
                let (datagrams, mayHaveMore) = pair.receiveBatch()
                #expect(datagrams.allSatisfy { $0 == one })
                #expect(datagrams.count <= ForwardedDatagrams.datagramsPerBatch)
                received += datagrams.count
                if !mayHaveMore { break }
            }
            #expect(received == sent)
            #expect(pair.forward(one))
        }

        @Test func `a slot without a process loses what is forwarded to it`() throws {
            let (sender, receiver) = try ForwardingPair.make()
            close(receiver)
            defer { close(sender) }
            let forwarder = DatagramForwarder(sender: sender)
            let one = try datagram(10)
            let isSent = one.bytes.withUnsafeBytes {
                forwarder.forward($0, place: 0, remote: one.remote, local: one.local, ecn: 0)
            }
            #expect(!isSent)
        }

        @Test func `a place that no number of two bytes can say is refused`() throws {
            let pair = try Pair()
            for (place, fits) in [(0, true), (65_535, true), (65_536, false), (-1, false)] {
                var one = try datagram(1)
                one.place = place
                #expect(pair.forward(one) == fits)
                #expect(pair.receiveBatch().datagrams == (fits ? [one] : []))
            }
        }

        @Test func `messages that are none of ours are passed over`() throws {
            let pair = try Pair()
            let good = try datagram(3)
            #expect(pair.forward(good))
            var message = [UInt8](repeating: 0, count: 200)
            let count = recv(pair.receiver, &message, message.count, 0)
            message = Array(message[..<count])
            #expect(count == ForwardedHeader.byteCount + 3)

            var odd: [[UInt8]] = [[]]
            // Cut anywhere in the header, and right behind it.
            odd += (1...ForwardedHeader.byteCount).map { Array(message[..<$0]) }
            for (offset, value) in [
                (0, UInt8(0)), (0, 2), (1, 4), (1, 255), (4, 0), (4, 255), (4, 10), (32, 0), (32, 1),
            ] {
                var changed = message
                changed[offset] = value
                odd.append(changed)
            }
            // One byte more than any datagram has.
            odd.append(message[..<ForwardedHeader.byteCount] + pattern(ForwardedDatagrams.maxDatagramBytes + 1))
            for message in odd {
                pair.write(message)
                #expect(pair.receiveBatch().datagrams == [])
            }
            #expect(pair.forwarded.malformedCount == odd.count)
            pair.write(Array(message[..<ForwardedHeader.byteCount] + pattern(ForwardedDatagrams.maxDatagramBytes)))
            #expect(pair.receiveBatch().datagrams.map(\.bytes.count) == [ForwardedDatagrams.maxDatagramBytes])
            pair.write(message)
            #expect(pair.receiveBatch().datagrams == [good])
            #expect(pair.forwarded.malformedCount == odd.count)
        }

        @Test func `random headers are read or passed over`() {
            var generator = SeededGenerator(seed: 21)
            for _ in 0..<20_000 {
                var message = (0..<Int.random(in: 0...80, using: &generator))
                    .map { _ in UInt8.random(in: 0...255, using: &generator) }
                // Else hardly any would get past the first checks.
                for (offset, choices) in [
                    (0, [UInt8(1)]), (1, [0, 3]), (4, [2, 10]), (5, [0]), (32, [2, 10]), (33, [0]),
                ]
                where offset < message.count && Bool.random(using: &generator) {
                    message[offset] = choices.randomElement(using: &generator) ?? 0
                }
                let header = message.withUnsafeBytes { ForwardedHeader($0) }
                guard let header else { continue }
                var again = [UInt8](repeating: 0, count: ForwardedHeader.byteCount + 1)
                again.withUnsafeMutableBytes {
                    header.write(to: UnsafeMutableRawBufferPointer(rebasing: $0[..<ForwardedHeader.byteCount]))
                }
                #expect(again.withUnsafeBytes { ForwardedHeader($0) } == header)
            }
        }
    }
}
