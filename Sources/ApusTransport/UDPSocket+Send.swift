import ApusHTTP
import CApusShims
import Glibc

extension UDPSocket {
    /// Sends a train of datagrams of `segmentSize` bytes each, the last perhaps shorter, to one peer, in
    /// one call where the kernel can. At most `maxSegments` and `maxTrainBytes`.
    ///
    /// - Parameters:
    ///   - segmentSize: `bytes.count` for a single datagram.
    ///   - from: the address the peer knows us by (its port is not looked at); nil leaves it to the route.
    ///   - ecn: the ECN bits of each packet.
    package func send(
        _ bytes: UnsafeRawBufferPointer,
        segmentSize: Int,
        to: SocketAddress,
        from: SocketAddress? = nil,
        ecn: UInt8 = 0
    ) -> UDPSendResult {
        guard !isClosed else { return .dropped(EBADF) }
        guard let segment = UInt16(exactly: segmentSize), segment > 0 else { return .dropped(EMSGSIZE) }
        guard bytes.count > segmentSize else { return sendOne(bytes, segment: 0, to, from, ecn) }
        if segmentsInKernel {
            let result = sendOne(bytes, segment: segment, to, from, ecn)
            // EIO: the device cannot checksum what the kernel would cut. It will not learn to.
            guard result == .dropped(EIO) else { return result }
            segmentsInKernel = false
        }
        return sendEach(bytes, segmentSize: segmentSize, to, from, ecn)
    }

    private func sendEach(
        _ bytes: UnsafeRawBufferPointer,
        segmentSize: Int,
        _ to: SocketAddress,
        _ from: SocketAddress?,
        _ ecn: UInt8
    ) -> UDPSendResult {
        var dropped: Int32?
        for start in stride(from: 0, to: bytes.count, by: segmentSize) {
            let datagram = bytes[start..<min(start + segmentSize, bytes.count)]
            switch sendOne(UnsafeRawBufferPointer(rebasing: datagram), segment: 0, to, from, ecn) {
            case .sent: break
            case .wouldBlock: return .wouldBlock(sent: start)
            case .dropped(let code): dropped = code
            }
        }
        return dropped.map { .dropped($0) } ?? .sent
    }

    /// One call; segment 0 means one datagram.
    private func sendOne(
        _ bytes: UnsafeRawBufferPointer,
        segment: UInt16,
        _ to: SocketAddress,
        _ from: SocketAddress?,
        _ ecn: UInt8
    ) -> UDPSendResult {
        let result = to.withSockAddr { to, length in
            guard let from else {
                return apus_udp_send(descriptor, bytes.baseAddress, bytes.count, segment, to, length, nil, ecn)
            }
            return from.withSockAddr { from, _ in
                apus_udp_send(descriptor, bytes.baseAddress, bytes.count, segment, to, length, from, ecn)
            }
        }
        if result >= 0 { return .sent }
        return result == -Int(EAGAIN) ? .wouldBlock(sent: 0) : .dropped(Int32(-result))
    }
}
