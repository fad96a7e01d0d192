import ApusHTTP
import CNghttp3
import CNgtcp2
import Glibc

/// Datagrams to one peer, ready for a single `sendmsg`: all of `segmentSize` bytes but the last, which may be shorter.
package struct Transmit {
    /// Where the datagrams lie; valid until the next write into the same buffer.
    package let bytes: UnsafeRawBufferPointer
    package let segmentSize: Int
    package let local: SocketAddress
    package let remote: SocketAddress
    /// The ECN bits that the packets must carry (RFC 9000 §13.4).
    package let ecn: UInt8
}

/// Where packets are written: one for all connections of a thread.
///
/// It also holds what the write loop hands to the libraries by pointer, so that no call allocates.
package final class TransmitBuffer {
    /// The most that one train may have: an IPv4 datagram's payload, since the kernel segments one such.
    static let capacity = 65_000
    static let vectorCapacity = 16

    let memory: UnsafeMutableRawBufferPointer
    let vectors: UnsafeMutablePointer<nghttp3_vec>
    let path: UnsafeMutablePointer<ngtcp2_path_storage>
    let packetInfo: UnsafeMutablePointer<ngtcp2_pkt_info>

    package init() {
        memory = .allocate(byteCount: Self.capacity, alignment: 16)
        vectors = .allocate(capacity: Self.vectorCapacity)
        vectors.initialize(repeating: nghttp3_vec(), count: Self.vectorCapacity)
        path = .allocate(capacity: 1)
        path.initialize(to: ngtcp2_path_storage())
        // The path's address pointers refer to the storage behind them, which therefore never moves.
        ngtcp2_path_storage_zero(path)
        packetInfo = .allocate(capacity: 1)
        packetInfo.initialize(to: ngtcp2_pkt_info())
    }

    deinit {
        memory.deallocate()
        vectors.deallocate()
        path.deallocate()
        packetInfo.deallocate()
    }

    /// Copies a train that was kept back to the front.
    func restore(_ bytes: [UInt8]) -> UnsafeRawBufferPointer {
        let room = UnsafeMutableRawBufferPointer(rebasing: memory[0..<min(bytes.count, memory.count)])
        bytes.withUnsafeBytes { room.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[0..<room.count])) }
        return UnsafeRawBufferPointer(room)
    }
}

/// A train that could not be sent yet, in memory of its own.
struct HeldTrain {
    let bytes: [UInt8]
    let segmentSize: Int
    let local: SocketAddress
    let remote: SocketAddress
    let ecn: UInt8

    init(_ transmit: Transmit) {
        bytes = Array(transmit.bytes)
        segmentSize = transmit.segmentSize
        local = transmit.local
        remote = transmit.remote
        ecn = transmit.ecn
    }

    /// A datagram on its own.
    init(_ bytes: [UInt8], local: SocketAddress, remote: SocketAddress) {
        self.bytes = bytes
        segmentSize = bytes.count
        self.local = local
        self.remote = remote
        ecn = 0
    }

    func transmit(in buffer: TransmitBuffer) -> Transmit {
        Transmit(bytes: buffer.restore(bytes), segmentSize: segmentSize, local: local, remote: remote, ecn: ecn)
    }
}
