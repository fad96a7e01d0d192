import ApusHTTP
import CApusShims
import Glibc

/// Hands datagrams to the slot whose they are. The descriptor stays the caller's.
///
/// Confined to its loop's thread.
package final class DatagramForwarder {
    /// Datagrams that were lost because the slot's worker has not read those before them.
    package private(set) var lostCount = 0

    private let sender: Int32
    /// The header of the datagram at hand, in memory of its own for the kernel to read.
    private let header = UnsafeMutableRawBufferPointer.allocate(byteCount: ForwardedHeader.byteCount, alignment: 8)

    package init(sender: Int32) {
        self.sender = sender
        header.initializeMemory(as: UInt8.self, repeating: 0)
    }

    deinit {
        header.deallocate()
    }

    /// Passes on one datagram as it came to our `local` address at a place; false where it is lost, as
    /// datagrams may be.
    @discardableResult
    package func forward(
        _ datagram: UnsafeRawBufferPointer,
        place: Int,
        remote: SocketAddress,
        local: SocketAddress,
        ecn: UInt8
    ) -> Bool {
        guard let place = UInt16(exactly: place) else { return false }
        ForwardedHeader(place: place, ecn: ecn & 3, remote: remote, local: local).write(to: header)
        let result = apus_send_pair(sender, header.baseAddress, header.count, datagram.baseAddress, datagram.count)
        if result < 0 { lostCount += 1 }
        return result >= 0
    }
}
