/// The number of a stream on its connection: HTTP/2's and QUIC's own, on HTTP/1 the count of requests.
package struct StreamID: Hashable, Sendable, CustomStringConvertible {
    package let rawValue: UInt64

    @inlinable
    package init(_ rawValue: UInt64) {
        self.rawValue = rawValue
    }

    package var description: String { String(rawValue) }
}
