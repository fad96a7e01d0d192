import ApusHTTP
import Glibc

/// What precedes a forwarded datagram: where it came to, from whom, and its ECN bits.
///
/// Version, ECN, place (2 bytes), then the two addresses as the socket interface has them, each in a field
/// of 28 bytes: both ends run on one machine.
struct ForwardedHeader: Equatable {
    static let version: UInt8 = 1
    /// Bytes of the field of one address, which either family fits into.
    private static let addressBytes = MemoryLayout<sockaddr_in6>.size
    private static let remoteOffset = 4
    private static let localOffset = remoteOffset + addressBytes
    /// Bytes of the whole header.
    static let byteCount = localOffset + addressBytes

    let place: UInt16
    let ecn: UInt8
    let remote: SocketAddress
    let local: SocketAddress

    init(place: UInt16, ecn: UInt8, remote: SocketAddress, local: SocketAddress) {
        self.place = place
        self.ecn = ecn
        self.remote = remote
        self.local = local
    }

    /// Reads the start of a message; nil for what no header of this version can be, and for one without a
    /// datagram behind it.
    init?(_ message: UnsafeRawBufferPointer) {
        guard message.count > Self.byteCount, message[0] == Self.version, message[1] <= 3 else { return nil }
        ecn = message[1]
        place = message.loadUnaligned(fromByteOffset: 2, as: UInt16.self)
        guard let remote = Self.address(message, at: Self.remoteOffset),
            let local = Self.address(message, at: Self.localOffset), remote.family == local.family
        else { return nil }
        self.remote = remote
        self.local = local
    }

    /// Writes the header into exactly `byteCount` bytes.
    func write(to field: UnsafeMutableRawBufferPointer) {
        field[0] = Self.version
        field[1] = ecn
        field.storeBytes(of: place, toByteOffset: 2, as: UInt16.self)
        for (address, offset) in [(remote, Self.remoteOffset), (local, Self.localOffset)] {
            address.withSockAddr { raw, length in
                UnsafeMutableRawBufferPointer(rebasing: field[offset..<offset + Self.addressBytes])
                    .copyBytes(from: UnsafeRawBufferPointer(start: raw, count: Int(length)))
            }
        }
    }

    private static func address(_ message: UnsafeRawBufferPointer, at offset: Int) -> SocketAddress? {
        // A copy of its own, because the message knows nothing of a sockaddr's alignment.
        var raw = sockaddr_in6()
        withUnsafeMutableBytes(of: &raw) { $0.copyBytes(from: message[offset..<offset + addressBytes]) }
        return withUnsafePointer(to: raw) { pointer in
            // The field is large enough for either family, and the family says which one it holds.
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { SocketAddress($0) }
        }
    }
}
