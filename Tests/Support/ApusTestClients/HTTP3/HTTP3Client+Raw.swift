import ApusHTTP
import CNgtcp2

/// Bytes past nghttp3, for what no library would send.
extension HTTP3Client {
    /// Puts bytes on a stream past nghttp3: on one of their own, or on one that was begun so.
    @discardableResult
    package func sendRaw(_ bytes: [UInt8], bidirectional: Bool = true, on stream: Int64? = nil, fin: Bool) -> Int64 {
        let id = stream ?? openRaw(bidirectional)
        guard id >= 0 else { return id }
        raw.append(Raw(id: id, bytes: keep(bytes)[...], fin: fin))
        return id
    }

    private func openRaw(_ bidirectional: Bool) -> Int64 {
        var id: Int64 = -1
        guard bidirectional else {
            ngtcp2_conn_open_uni_stream(quic, &id, nil)
            return id
        }
        if ngtcp2_conn_open_bidi_stream(quic, &id, nil) == 0 {
            requests += 1
            rawStreams.insert(id)
        }
        return id
    }

    struct Raw {
        let id: Int64
        var bytes: Slice<UnsafeMutableBufferPointer<UInt8>>
        let fin: Bool
    }

    /// Writes a packet of raw streams; nil where there are none.
    func nextRawPacket(_ now: Instant) -> [UInt8]? {
        while let next = raw.first {
            var buffer = [UInt8](repeating: 0, count: 1452)
            var info = ngtcp2_pkt_info()
            let bytes = UnsafeMutableBufferPointer(rebasing: next.bytes)
            var vector = ngtcp2_vec(base: bytes.baseAddress, len: bytes.count)
            var taken: ngtcp2_ssize = -1
            let flags = UInt32(next.fin ? NGTCP2_WRITE_STREAM_FLAG_FIN : NGTCP2_WRITE_STREAM_FLAG_NONE)
            let written = ngtcp2_conn_writev_stream_versioned(
                quic,
                nil,
                NGTCP2_PKT_INFO_VERSION,
                &info,
                &buffer,
                buffer.count,
                &taken,
                flags,
                next.id,
                &vector,
                1,
                now.nanoseconds
            )
            if taken >= 0 { raw[0].bytes = next.bytes.dropFirst(taken) }
            if raw[0].bytes.isEmpty || written < 0 { raw.removeFirst() }
            guard written >= 0 else { continue }
            return written == 0 ? nil : Array(buffer[0..<written])
        }
        return nil
    }
}
