import Glibc
import Testing

@testable import ApusTLS

@Suite struct DataTests {
    @Test(arguments: [TLSVersion.tls12, .tls13], [1, 7, 1000, 16_384, 65_536, Int.max])
    func aMegabyteIsEchoed(version: TLSVersion, step: Int) throws {
        // Byte by byte a smaller piece says as much.
        let sent = pattern(step == 1 ? 40_000 : 1 << 20)
        let peers = try openPeers(version)
        try peers.client.send(sent)
        let received = try peers.exchange(step: step).atServer
        #expect(received == sent)
        try peers.server.send(received)
        #expect(try peers.exchange(step: step).atClient == sent)
    }

    @Test func dataMayComeInTwoPartsAnywhere() throws {
        let peers = try openPeers(.tls13)
        for cut in 1..<150 {
            try peers.client.send(pattern(50))
            try peers.client.send(pattern(60))
            let flight = peers.client.flush()
            let first = try peers.server.take(Array(flight.prefix(cut)))
            let second = try peers.server.take(Array(flight.dropFirst(cut)))
            #expect(first + second == pattern(50) + pattern(60), "cut at \(cut)")
        }
    }

    @Test func recordsAreAsLargeAsTheyMay() throws {
        let peers = try openPeers(.tls13)
        for (count, records) in [(1, 1), (16_384, 1), (16_385, 2), (32_768, 2), (32_769, 3)] {
            try peers.server.send(pattern(count))
            #expect(recordCount(peers.server.flush()) == records, "\(count) bytes")
        }
    }

    @Test func nothingToWriteIsNoRecord() throws {
        let peers = try openPeers(.tls13)
        try peers.server.send([])
        try write([], by: peers.server)
        try write([[], []], by: peers.server)
        #expect(!peers.server.hasOutput)
    }

    @Test(arguments: [
        ([10, 20], 1),
        ([0, 10, 0], 1),
        ([100, 16_284], 1),
        ([100, 16_285], 2),
        ([100, 16_384], 2),
        ([16_384, 100], 2),
        ([16_384, 16_384], 2),
        ([1, 40_000, 1], 3),
        ([50_000, 5, 50_000], 7),
    ])
    func smallPiecesShareARecord(sizes: [Int], records: Int) throws {
        let peers = try openPeers(.tls13)
        let pieces = sizes.map(pattern)
        try write(pieces, by: peers.server)
        let flight = peers.server.flush()
        #expect(recordCount(flight) == records)
        #expect(try peers.client.take(flight) == pieces.flatMap { $0 })
    }

    // MARK: Memory

    @Test func memoryOfSentOutputIsGivenBack() throws {
        let peers = try openPeers(.tls13)
        #expect(peers.server.wire.pointee.capacity <= TLSWire.retainedCapacity)
        try peers.server.send(pattern(100_000))
        #expect(peers.server.wire.pointee.capacity >= 100_000)
        peers.server.consumeOutput(peers.server.pendingOutput.count)
        #expect(!peers.server.hasOutput)
        #expect(peers.server.wire.pointee.capacity <= TLSWire.retainedCapacity)
    }

    @Test func outputMayBeSentInParts() throws {
        let peers = try openPeers(.tls13)
        var arrived: [UInt8] = []
        for round in 0..<50 {
            try peers.server.send(pattern(1000 + round))
            let part = Array(peers.server.pendingOutput.prefix(700))
            peers.server.consumeOutput(part.count)
            arrived += try peers.client.take(part)
        }
        // What was sent makes room for what follows: the memory does not grow with the sum.
        #expect(peers.server.wire.pointee.capacity < 50 * 1100)
        arrived += try peers.client.take(peers.server.flush())
        #expect(arrived == (0..<50).flatMap { pattern(1000 + $0) })
    }

    // MARK: Ends

    @Test(arguments: [TLSVersion.tls12, .tls13])
    func closeNotifyIsACleanEnd(version: TLSVersion) throws {
        let peers = try openPeers(version)
        try peers.client.send([1, 2, 3])
        peers.client.close()
        #expect(try peers.server.take(peers.client.flush()) == [1, 2, 3])
        #expect(peers.server.receivedCloseNotify)
        #expect(!peers.client.receivedCloseNotify)
        // The other direction is still open.
        try peers.server.send([4, 5])
        peers.server.close()
        #expect(try peers.client.take(peers.server.flush()) == [4, 5])
        #expect(peers.client.receivedCloseNotify)
    }

    @Test func truncatedStreamIsNoCleanEnd() throws {
        let peers = try openPeers(.tls13)
        try peers.client.send(pattern(1000))
        peers.client.close()
        let flight = peers.client.flush()
        // All but the last byte: the data is there, its end is not.
        #expect(try peers.server.take(flight.dropLast(1)) == pattern(1000))
        #expect(!peers.server.receivedCloseNotify)
        _ = try peers.server.take([flight[flight.count - 1]])
        #expect(peers.server.receivedCloseNotify)
    }

    @Test func bytesAfterCloseNotifyAreIgnored() throws {
        let peers = try openPeers(.tls13)
        peers.client.close()
        #expect(try peers.server.take(peers.client.flush() + [1, 2, 3, 4, 5, 6]) == [])
        #expect(try peers.server.take([7, 8, 9]) == [])
        #expect(peers.server.receivedCloseNotify)
    }

    @Test func nothingIsWrittenAfterClose() throws {
        let peers = try openPeers(.tls13)
        peers.server.close()
        let notify = peers.server.flush()
        #expect(recordCount(notify) == 1)
        #expect(throws: TLSError.ended) { try peers.server.send([1]) }
        peers.server.close()
        #expect(!peers.server.hasOutput)
    }

    @Test func nothingIsWrittenBeforeTheHandshakeIsComplete() throws {
        let session = try TLSSession(context: TLSContext(configuration: .server(.test("ecdsa"))))
        #expect(throws: TLSError.ended) { try session.send([1]) }
        session.close()
        #expect(!session.hasOutput)
    }

    // MARK: Helpers

    private func recordCount(_ flight: [UInt8]) -> Int {
        var count = 0
        var rest = flight[...]
        while rest.count >= 5 {
            let length = Int(rest[rest.startIndex + 3]) << 8 + Int(rest[rest.startIndex + 4])
            rest = rest.dropFirst(5 + length)
            count += 1
        }
        return count
    }

    private func write(_ pieces: [[UInt8]], by session: TLSSession) throws {
        // One block, so that all pieces have an address at once.
        let block = UnsafeMutableRawBufferPointer.allocate(byteCount: pieces.reduce(1) { $0 + $1.count }, alignment: 1)
        defer { block.deallocate() }
        var vectors: [iovec] = []
        var start = 0
        for piece in pieces {
            let room = UnsafeMutableRawBufferPointer(rebasing: block[start..<start + piece.count])
            room.copyBytes(from: piece)
            vectors.append(iovec(iov_base: room.baseAddress, iov_len: piece.count))
            start += piece.count
        }
        _ = try vectors.withUnsafeBufferPointer { try session.write($0) }
    }
}

/// Peers whose handshake is complete.
func openPeers(_ version: TLSVersion) throws -> Peers {
    let peers = try Peers { server, _ in server.maximumVersion = version }
    _ = try peers.exchange()
    return peers
}
