import ApusGateway
import ApusHTTP
import ApusTestClients
import CNghttp3
import Testing

@testable import ApusHTTP3

@Suite struct PartTests {
    @Test func sipHashGivesThePublishedValues() {
        let mac = SipHash(key: Array(0...15))
        func value(_ count: UInt8) -> UInt64 { Array(0..<count).withUnsafeBytes { mac($0) } }
        #expect(value(0) == 0x726f_db47_dd0e_0e31)
        #expect(value(1) == 0x74f8_39c5_93dc_67fd)
        #expect(value(8) == 0x93f5_f579_9a93_2462)
        #expect(value(11) == 0xf4b3_2f46_226b_ada7)
        #expect(value(15) == 0xa129_ca61_49be_45e5)
    }

    @Test func idsAreEqualByTheirBytesAlone() throws {
        for length in 0...20 {
            let bytes = (0..<length).map { UInt8($0 + 1) }
            let identifier = try #require(bytes.withUnsafeBytes { ConnectionID($0) })
            #expect(identifier.count == length)
            #expect(identifier.withUnsafeBytes { Array($0) } == bytes)
            #expect(ConnectionID(identifier.cValue) == identifier)
            for index in 0..<length {
                var other = bytes
                other[index] ^= 0x80
                #expect(other.withUnsafeBytes { ConnectionID($0) } != identifier)
            }
            #expect((bytes + [0]).withUnsafeBytes { ConnectionID($0) } != identifier)
        }
        #expect([UInt8](repeating: 0, count: 21).withUnsafeBytes { ConnectionID($0) } == nil)
    }

    @Test func idsNameTheirWorkerAndNothingElse() throws {
        let secrets = QUICSecrets.random()
        let workers = (0..<7).map { ConnectionIDRouting(secrets: secrets, slot: $0, slotCount: 7) }
        for worker in workers {
            for _ in 0..<20 {
                let identifier = worker.make()
                #expect(identifier.count == 19)
                for other in workers {
                    #expect(
                        other.owner(of: identifier) == (other.slot == worker.slot ? .ourselves : .slot(worker.slot))
                    )
                }
                let bytes = identifier.withUnsafeBytes { Array($0) }
                // As the packet filter computes it.
                let word = bytes.prefix(4).reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
                #expect(Int((word &* (secrets.steeringKey | 1)) >> 16) % 7 == worker.slot)
                for index in bytes.indices {
                    var forged = bytes
                    forged[index] ^= 1
                    let identifier = try #require(forged.withUnsafeBytes { ConnectionID($0) })
                    #expect(worker.owner(of: identifier) == .nobody)
                }
            }
        }
    }

    @Test(arguments: [1, 2, 3, 127, 128, 65_535, 65_536]) func everySlotCanBeNamed(slotCount: Int) {
        let secrets = QUICSecrets.random()
        for slot in Set([0, slotCount / 2, slotCount - 1]) {
            let worker = ConnectionIDRouting(secrets: secrets, slot: slot, slotCount: slotCount)
            var words: Set<[UInt8]> = []
            for _ in 0..<100 {
                let identifier = worker.make()
                #expect(worker.owner(of: identifier) == .ourselves)
                words.insert(identifier.withUnsafeBytes { Array($0.prefix(4)) })
            }
            // They tell nothing by themselves: with 65536 slots there are as many words to each.
            #expect(words.count > 95)
        }
    }

    @Test func theHeapGivesElementsWhenTheyAreDue() {
        final class Item: Expiring {
            var heapIndex = -1
            let number: Int
            init(_ number: Int) { self.number = number }
        }
        var generator = SeededGenerator(seed: 4)
        var heap = ExpiryHeap<Item>()
        let items = (0..<200).map { Item($0) }
        var keys: [Int: UInt64] = [:]
        for item in items {
            let key = UInt64.random(in: 1000...2000, using: &generator)
            keys[item.number] = key
            heap.schedule(item, at: key)
            // A later time is only looked at when the entry comes up.
            heap.schedule(item, at: key + 500)
        }
        for item in items.prefix(100) {
            let key = UInt64.random(in: 0..<1000, using: &generator)
            keys[item.number] = key
            heap.schedule(item, at: key)
        }
        for item in items.suffix(20) {
            heap.remove(item)
            heap.remove(item)
            keys[item.number] = nil
        }
        #expect(heap.popDue(0).map { keys[$0.number] == 0 } ?? true)
        var last: UInt64 = 0
        while let earliest = heap.earliest {
            #expect(earliest == 0 || heap.popDue(earliest - 1) == nil)
            let item = heap.popDue(earliest)
            #expect(item.flatMap { keys.removeValue(forKey: $0.number) } == earliest)
            #expect(earliest >= last)
            last = earliest
        }
        #expect(heap.count == 0)
        #expect(keys.count <= 1)
    }

    @Test func streamsAreFoundAmongMany() {
        var table = HTTP3StreamTable()
        var generator = SeededGenerator(seed: 9)
        var known: [Int64: UnsafeMutablePointer<HTTP3Stream>] = [:]
        for round in 0..<5000 {
            if known.count < 150, Bool.random(using: &generator) || known.isEmpty {
                let id = Int64(round) * 4
                known[id] = table.open(id)
            } else if let id = known.keys.sorted().randomElement(using: &generator), let stream = known[id] {
                table.release(stream)
                known[id] = nil
            }
            #expect(table.count == known.count)
        }
        for (id, stream) in known { #expect(table[id] == stream) }
        #expect(table[3] == nil)
        #expect(Set(table.all) == Set(known.values))
        table.deallocate()
    }

    @Test(arguments: [1, 2, 3, 7, 100])
    func aBodyIsHandedOutOnceAndKeptUntilItIsAcknowledged(step: Int) {
        var queue = BodyQueue()
        let pieces: [[UInt8]] = [[1, 2, 3], [4], [], [5, 6, 7, 8, 9], [10, 11]]
        for piece in pieces { queue.append(Bytes(piece)) }
        #expect(queue.waiting == 11)
        var seen: [UInt8] = []
        var acknowledged = 0
        let vectors = UnsafeMutablePointer<nghttp3_vec>.allocate(capacity: 2)
        defer { vectors.deallocate() }
        while queue.waiting > 0 {
            let filled = queue.handOut(vectors, count: 2, limit: step)
            #expect(filled > 0)
            for index in 0..<filled {
                seen += Array(UnsafeBufferPointer(start: vectors[index].base, count: vectors[index].len))
            }
            queue.acknowledge(1)
            acknowledged += 1
            #expect(queue.held == 11 - acknowledged)
        }
        #expect(seen == Array(1...11))
        queue.acknowledge(11 - acknowledged)
        #expect(queue.held == 0)
        // What was never handed out cannot be acknowledged.
        queue.append(Bytes([1]))
        queue.acknowledge(5)
        #expect(queue.held == 1)
    }

    @Test func theConnectionsWindowFollowsConsumptionPastTheLimit() {
        var credit = ReceiveCredit(limit: 100)
        #expect(credit.receive(100) == 100)
        #expect(credit.receive(50) == 0)
        #expect(credit.consume(20) == 20)
        #expect(credit.consume(130) == 30)
        #expect(credit.unconsumed == 0)
        #expect(credit.receive(1) == 1)
    }

    @Test func `a limit that moves opens the window and never closes it`() {
        var credit = ReceiveCredit(limit: 100)
        #expect(credit.receive(180) == 100)
        #expect(credit.allow(50) == 50)
        #expect(credit.allow(-50) == 0)
        #expect(credit.receive(10) == 0)
        #expect(credit.consume(90) == 40)
        #expect(credit.consume(100) == 0)
    }

    @Test func aBucketAllowsABurstAndThenItsRate() {
        var bucket = TokenBucket(burst: 3, perSecond: 2)
        var now = Instant(nanoseconds: 5)
        #expect((0..<5).map { _ in bucket.take(now) } == [true, true, true, false, false])
        now = now + .seconds(1)
        #expect((0..<4).map { _ in bucket.take(now) } == [true, true, false, false])
    }
}

@Suite struct CredentialTests {
    @Test func anEncryptedKeyNeedsItsPassword() throws {
        let certificate = TestCertificate(extraKeyArguments: "-passout pass:swordfish")
        _ = try certificate.credentials(password: "swordfish")
        for (password, word) in [("wrong-one", "password does not open"), (nil, "no password was given")] {
            let error = #expect(throws: QUICCredentialError.self) { try certificate.credentials(password: password) }
            #expect(error?.description.contains(word) == true)
            #expect(error?.description.contains("wrong-one") == false)
        }
    }

    @Test func aKeyOfAnotherCertificateIsAMismatch() {
        let other = TestCertificate()
        let error = #expect(throws: QUICCredentialError.self) {
            try QUICServerCredentials(certificateFile: other.certificateFile, keyFile: TestCertificate.shared.keyFile)
        }
        #expect(error?.description.contains("does not belong to the certificate") == true)
    }

    @Test func `new credentials are those of new connections, and open ones go on`() throws {
        let simulation = try Simulation()
        func established() -> HTTP3Client {
            let client = simulation.connect()
            let id = client.request()
            #expect(simulation.run { client.responses[id]?.ended == true })
            return client
        }
        let old = established()
        // A handshake that has begun keeps what it began with, too.
        let between = simulation.connect()
        between.request()
        #expect(simulation.run { simulation.endpoint.connectionCount == 2 })
        simulation.endpoint.credentials = try TestCertificate().credentials()
        let new = established()
        #expect(simulation.run { between.responses[0]?.ended == true })
        #expect(old.peerCertificate != nil && old.peerCertificate == between.peerCertificate)
        #expect(new.peerCertificate != nil && new.peerCertificate != old.peerCertificate)
        let later = old.request()
        #expect(simulation.run { old.responses[later]?.ended == true })
    }

    @Test func aMissingFileIsNamed() {
        let error = #expect(throws: QUICCredentialError.self) {
            try QUICServerCredentials(certificateFile: "/nowhere/cert.pem", keyFile: "/nowhere/key.pem")
        }
        #expect(error?.description == "cannot read the certificate file /nowhere/cert.pem: No such file or directory")
    }

    @Test func aFileThatIsNoCertificateIsRefused() {
        let key = TestCertificate.shared.keyFile
        #expect(throws: QUICCredentialError.self) { try QUICServerCredentials(certificateFile: key, keyFile: key) }
    }
}
