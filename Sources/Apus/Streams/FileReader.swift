import ApusGateway
import ApusHTTP
import ApusTransport

/// Reads a file into a response, piece by piece, for connections that cannot take the file itself.
///
/// Reads are synchronous: what is served again and again lies in the page cache.
final class FileReader {
    static let pieceSize = 64 * 1024

    private let region: FileRegion
    private var offset: Int

    init(_ region: FileRegion) {
        self.region = region
        offset = region.offset
    }

    /// Bytes that are still to be read.
    var left: Int { region.offset + region.count - offset }

    /// The next piece; nil where the file has become shorter than it was, or cannot be read.
    func next() -> Bytes? {
        let wanted = min(left, Self.pieceSize)
        var complete = false
        let piece = Bytes(count: wanted) { room in
            complete = FileSystem.read(region.descriptor, at: offset, into: room)
        }
        guard complete else { return nil }
        offset += wanted
        return piece
    }
}
