import ApusHTTP
import CNghttp3
import CNgtcp2

/// Streams whose two bodies are the bytes of a WebSocket (RFC 9220), each side's until it ends its own.
///
/// To QUIC they are streams like all others. But they may be quiet for longer than a connection may be, and they have
/// no end of their own for which their neighbours could wait.
extension HTTP3Connection {
    /// The response that is about to be submitted accepts a WebSocket.
    func openTunnel(_ http: OpaquePointer, on stream: ConnectionSink.StreamRef) {
        stream.pointee.isTunnel = true
        stream.pointee.keepsConnection = true
        openTunnels += 1
        if openTunnels == 1 { keepAlive(every: keepAliveInterval) }
        // A tunnel may stay unread for as long as its application likes: what fits its own window then takes nothing
        // from its neighbours'.
        openWindow(stream.pointee.id, connection: credit.allow(limits.streamReceiveWindow), stream: 0)
        takeTurns(http, stream)
    }

    /// A tunnel is closed, or nobody's any more: the connection need not live, nor hold bytes, for its sake.
    func leaveTunnel(_ stream: ConnectionSink.StreamRef) {
        guard stream.pointee.keepsConnection else { return }
        stream.pointee.keepsConnection = false
        openTunnels -= 1
        if openTunnels == 0 { keepAlive(every: .max) }
        openWindow(stream.pointee.id, connection: credit.allow(-limits.streamReceiveWindow), stream: 0)
    }

    /// RFC 9218 §11: a tunnel takes turns with its neighbours, or a busy one would hold them up for ever.
    private func takeTurns(_ http: OpaquePointer, _ stream: ConnectionSink.StreamRef) {
        var priority = nghttp3_pri()
        let status = nghttp3_conn_get_stream_priority_versioned(
            http,
            NGHTTP3_PRI_VERSION,
            &priority,
            stream.pointee.id
        )
        guard status == 0, priority.inc == 0 else { return }
        priority.inc = 1
        nghttp3_conn_set_server_stream_priority_versioned(http, stream.pointee.id, NGHTTP3_PRI_VERSION, &priority)
    }

    // MARK: Keep-alive

    /// How often a quiet connection with tunnels sends a PING: twice in the time after which either side would take the
    /// other for gone (RFC 9000 §10.1.2). One that does not answer is still found out, half of that time later.
    private var keepAliveInterval: UInt64 {
        guard let quic else { return .max }
        let own = TimeSpan.seconds(limits.quicIdleTimeout).nanoseconds
        let peer = ngtcp2_conn_get_remote_transport_params(quic.handle)?.pointee.max_idle_timeout ?? 0
        // 0 stands for no timeout, on either side.
        let timeout = min(own == 0 ? .max : own, peer == 0 ? .max : peer)
        guard timeout < .max else { return .max }
        return max(timeout / 2, TimeSpan.seconds(HTTP3Constants.minKeepAlive).nanoseconds)
    }

    private func keepAlive(every interval: UInt64) {
        guard let quic else { return }
        ngtcp2_conn_set_keep_alive_timeout(quic.handle, interval)
    }
}
