import CGnuTLS
import CNgtcp2

/// Data before the handshake's end (0-RTT), for servers that do not take it.
extension HTTP3Client {
    /// What a later connection must remember of the server in order to send early data; nil before the handshake.
    package var earlyParameters: [UInt8]? {
        guard handshakeCompleted else { return nil }
        var bytes = [UInt8](repeating: 0, count: 256)
        let count = ngtcp2_conn_encode_0rtt_transport_params(quic, &bytes, bytes.count)
        return count < 0 ? nil : Array(bytes.prefix(count))
    }

    /// Puts early data on a stream: it goes with the ClientHello.
    func sendEarlyData() {
        guard let parameters = options.earlyParameters,
            ngtcp2_conn_decode_and_set_0rtt_transport_params(quic, parameters, parameters.count) == 0
        else { return }
        sendRaw([1, 2, 3], fin: false)
    }

    /// Begins anew with the streams where the server has not taken the early data.
    func settleEarlyData() {
        let isAccepted = gnutls_session_get_flags(tls) & GNUTLS_SFLAGS_EARLY_DATA.rawValue != 0
        guard options.earlyParameters != nil, !isAccepted else { return }
        ngtcp2_conn_tls_early_data_rejected(quic)
        earlyDataWasRejected = true
        rawStreams = []
        raw = []
        requests = 0
    }
}
