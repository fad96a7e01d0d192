import CGnuTLS
import CNgtcp2

/// How a connection ID of ours names the worker that owns it, and proves that we made it.
///
/// 19 bytes: 4 that steer, 7 random, 8 of a MAC over the first 11. The steering word is chosen so that
/// `((word * key) >> 16) % slotCount` is the owner's slot: the kernel's packet filter can compute that, while a client
/// can neither read the slot nor choose it. The length is only a hint; the MAC tells our IDs from a client's.
package struct ConnectionIDRouting: Sendable {
    /// The length of every connection ID that this server issues.
    package static let length = 19
    private static let coveredLength = 11
    /// Where a long header has the first four bytes of the client's connection ID.
    private static let newcomerWord = 6..<10

    /// Who an ID belongs to.
    package enum Owner: Hashable, Sendable {
        /// This worker issued it.
        case ourselves
        /// The worker in this slot issued it.
        case slot(Int)
        /// Nobody here: it is a client's own choice, or forged.
        case nobody
    }

    /// The slot of this worker.
    package let slot: Int
    /// How many slots share the port.
    package let slotCount: Int
    private let steeringKey: UInt32
    /// What undoes the multiplication by the key.
    private let inverseKey: UInt32
    private let mac: SipHash

    /// - Precondition: `slot` lies below `slotCount`, which fits the 16 bits that the steering yields.
    package init(secrets: QUICSecrets, slot: Int, slotCount: Int) {
        precondition(slotCount > 0 && slotCount <= 65536, "slots are numbered with 16 bits")
        precondition(slot >= 0 && slot < slotCount, "a worker's slot is one of those that share the port")
        self.slot = slot
        self.slotCount = slotCount
        steeringKey = secrets.steeringKey
        inverseKey = Self.inverse(of: secrets.steeringKey)
        mac = SipHash(key: secrets.connectionIDKey)
    }

    /// Writes a fresh ID of this worker's.
    ///
    /// - Precondition: `target` has ``length`` bytes.
    package func make(into target: UnsafeMutableRawBufferPointer) {
        precondition(target.count == Self.length, "a connection ID of ours has 19 bytes")
        fillRandom(UnsafeMutableRawBufferPointer(rebasing: target[0..<Self.coveredLength]))
        let word = steeringWord(from: UInt32(bigEndian: UnsafeRawBufferPointer(target).loadUnaligned(as: UInt32.self)))
        target.storeBytes(of: word.bigEndian, as: UInt32.self)
        let proof = mac(UnsafeRawBufferPointer(rebasing: target[0..<Self.coveredLength]))
        target.storeBytes(of: proof.bigEndian, toByteOffset: Self.coveredLength, as: UInt64.self)
    }

    /// A fresh ID of this worker's.
    package func make() -> ConnectionID {
        withUnsafeTemporaryAllocation(byteCount: Self.length, alignment: 1) { bytes in
            make(into: bytes)
            guard let identifier = ConnectionID(UnsafeRawBufferPointer(bytes)) else {
                preconditionFailure("19 bytes are a connection ID")
            }
            return identifier
        }
    }

    /// Who issued an ID.
    package func owner(of identifier: ConnectionID) -> Owner {
        guard identifier.count == Self.length else { return .nobody }
        return identifier.withUnsafeBytes { bytes in
            let proof = UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: Self.coveredLength, as: UInt64.self))
            guard mac(UnsafeRawBufferPointer(rebasing: bytes[0..<Self.coveredLength])) == proof else { return .nobody }
            let owner = slot(steeredBy: bytes)
            return owner == slot ? .ourselves : .slot(owner)
        }
    }

    /// The slot among `newcomers` that takes a datagram of nobody's yet; nil where there is none to choose from.
    ///
    /// It follows from the first four bytes behind the length of the client's connection ID, as the packet filter reads
    /// them: a ClientHello in two datagrams goes to one worker.
    package func newcomerSlot(of datagram: UnsafeRawBufferPointer, among newcomers: [Int]) -> Int? {
        guard datagram.count >= Self.newcomerWord.upperBound, !newcomers.isEmpty else { return nil }
        return newcomers[steered(UnsafeRawBufferPointer(rebasing: datagram[Self.newcomerWord])) % newcomers.count]
    }

    /// The word that leads to this worker's slot and is as random as the given one but for that.
    ///
    /// To try random words until one does would take as many attempts as there are slots.
    private func steeringWord(from random: UInt32) -> UInt32 {
        let bits = Int(random >> 16)
        let nearest = bits - bits % slotCount + slot
        // The multiples of the slots' number need not fill the 16 bits.
        let steered = nearest < 65536 ? nearest : nearest - slotCount
        return (UInt32(steered) << 16 | random & 0xFFFF) &* inverseKey
    }

    /// The number whose product with `key`, which is odd, is 1: each of Newton's steps doubles the bits that are right, and
    /// an odd number is its own inverse in the last three.
    private static func inverse(of key: UInt32) -> UInt32 {
        (0..<4).reduce(key) { inverse, _ in inverse &* (2 &- key &* inverse) }
    }

    private func slot(steeredBy bytes: UnsafeRawBufferPointer) -> Int {
        steered(bytes) % slotCount
    }

    /// The 16 bits that a word yields with the key.
    private func steered(_ bytes: UnsafeRawBufferPointer) -> Int {
        Int((UInt32(bigEndian: bytes.loadUnaligned(as: UInt32.self)) &* steeringKey) >> 16)
    }
}

/// Fills memory with unpredictable bytes.
func fillRandom(_ target: UnsafeMutableRawBufferPointer, quality: gnutls_rnd_level_t = GNUTLS_RND_NONCE) {
    guard let base = target.baseAddress, target.count > 0 else { return }
    // It fails only where the system has no randomness at all; no secret may be made then.
    precondition(gnutls_rnd(quality, base, target.count) == 0, "the system gives random bytes")
}
