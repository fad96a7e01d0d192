import CZlib

/// Makes the streams of both directions. zlib keeps a pointer to its stream: on the heap, it stays in its place.
enum ZlibStream {
    /// A stream that `initialise` has made ready; nil where zlib got no memory.
    static func make(
        _ initialise: (UnsafeMutablePointer<z_stream>) -> Int32
    ) -> UnsafeMutablePointer<z_stream>? {
        let stream = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)
        stream.initialize(to: z_stream())
        guard initialise(stream) == Z_OK else {
            stream.deallocate()
            return nil
        }
        return stream
    }

    /// What zlib checks its own idea of a stream against (`deflateInit2`, `inflateInit2` in zlib.h).
    static let size = Int32(MemoryLayout<z_stream>.size)
}
