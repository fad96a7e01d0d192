import ApusHTTP
import CNghttp3
import CNgtcp2

/// The hot loop: streams in, trains of packets out.
///
/// A train shares path, ECN and size, so that the kernel can cut it into datagrams; ngtcp2 1.11 has no call that builds
/// one, so it is put together here packet by packet.
extension HTTP3Connection {
    /// Writes the next train of packets; nil where there is nothing to send for now.
    ///
    /// One call gives at most one quantum of ngtcp2's pacer, so that connections take turns. A train that the socket
    /// does not take must be given back with ``hold(_:)``.
    package func writePackets(into buffer: TransmitBuffer, now: Instant) -> Transmit? {
        if !heldTrains.isEmpty { return heldTrains.removeFirst().transmit(in: buffer) }
        guard disposition == .open else { return nil }
        drain()
        guard !isExhausted, let quic else { return nil }
        let now = advance(to: now)
        var train = Train()
        let status = fill(&train, quic, buffer, now)
        settle()
        let transmit = train.transmit(from: buffer)
        if status != 0 {
            fail(status, now: now)
            return transmit
        }
        ngtcp2_conn_update_pkt_tx_time(quic.handle, now.nanoseconds)
        closeIfDrained(now: now)
        if isExhausted { endpoint.schedule(self) }
        return transmit
    }

    /// Keeps a train that the socket did not take: the next ``writePackets(into:now:)`` gives it again.
    package func hold(_ transmit: Transmit) {
        heldTrains.insert(HeldTrain(transmit), at: 0)
    }

    /// The packets written so far in one call.
    private struct Train {
        var length = 0
        var segmentSize = 0
        var ecn: UInt8 = 0
        var addresses: (local: SocketAddress, remote: SocketAddress)?

        func transmit(from buffer: TransmitBuffer) -> Transmit? {
            guard length > 0, let addresses else { return nil }
            return Transmit(
                bytes: UnsafeRawBufferPointer(rebasing: buffer.memory[0..<length]),
                segmentSize: segmentSize,
                local: addresses.local,
                remote: addresses.remote,
                ecn: ecn
            )
        }
    }

    /// What comes next on a connection's streams.
    private struct Offer {
        var stream: Int64 = -1
        var fin: Int32 = 0
        var vectors = 0
        var length = 0
        /// The end of a stream that nghttp3 has offered before and forgotten.
        var isPendingFin = false
    }

    /// Writes packets until the quantum is used up or nothing is left; a negative code is the connection's end.
    private func fill(_ train: inout Train, _ quic: QUICConnection, _ buffer: TransmitBuffer, _ now: Instant) -> Int32 {
        let largest = ngtcp2_conn_get_max_tx_udp_payload_size(quic.handle)
        let usual = ngtcp2_conn_get_path_max_tx_udp_payload_size(quic.handle)
        let allowance = max(ngtcp2_conn_get_send_quantum(quic.handle), usual)
        let quantum = min(allowance, 64 * usual, TransmitBuffer.capacity)
        while true {
            var offer = Offer()
            let failure = nextOffer(&offer, quic, buffer)
            guard failure == 0 else { return failure }
            // The larger size leaves room for a probe of the path's MTU.
            let room = TransmitBuffer.capacity - train.length >= largest ? largest : usual
            let (written, taken) = write(offer, quic, buffer, at: train.length, room: room, now)
            let outcome = settle(offer, written, taken)
            guard outcome >= 0 else { return outcome }
            if written < 0 { continue }
            if written == 0 {
                isExhausted = true
                return 0
            }
            if add(written, to: &train, quic, buffer, usual: usual, quantum: quantum) { return 0 }
        }
    }

    /// Lets ngtcp2 put an offer into the packet at an offset of the buffer, or finish that packet.
    ///
    /// - Returns: The packet's size once it is finished, or a code; and how many of the offered bytes are in it.
    private func write(
        _ offer: Offer,
        _ quic: QUICConnection,
        _ buffer: TransmitBuffer,
        at offset: Int,
        room: Int,
        _ now: Instant
    ) -> (written: ngtcp2_ssize, taken: ngtcp2_ssize) {
        var taken: ngtcp2_ssize = -1
        let fin = offer.fin != 0 ? UInt32(NGTCP2_WRITE_STREAM_FLAG_FIN) : 0
        let written = ngtcp2_conn_writev_stream_versioned(
            quic.handle,
            &buffer.path.pointee.path,
            NGTCP2_PKT_INFO_VERSION,
            buffer.packetInfo,
            buffer.memory.baseAddress?.advanced(by: offset).assumingMemoryBound(to: UInt8.self),
            room,
            &taken,
            UInt32(NGTCP2_WRITE_STREAM_FLAG_MORE) | fin,
            offer.stream,
            // The two libraries' vectors have the same members in the same order.
            UnsafeRawPointer(buffer.vectors).assumingMemoryBound(to: ngtcp2_vec.self),
            offer.vectors,
            now.nanoseconds
        )
        return (written, taken)
    }

    // MARK: Offers

    /// Asks nghttp3 what to send next.
    private func nextOffer(_ offer: inout Offer, _ quic: QUICConnection, _ buffer: TransmitBuffer) -> Int32 {
        // Without room on the connection no stream may be asked: it would be taken for blocked by its own window.
        guard let http = sink.pointee.http, ngtcp2_conn_get_max_data_left(quic.handle) > 0 else { return 0 }
        var emptyReads = sink.pointee.emptyReads
        while true {
            let count = nghttp3_conn_writev_stream(
                http,
                &offer.stream,
                &offer.fin,
                buffer.vectors,
                TransmitBuffer.vectorCapacity
            )
            guard count >= 0 else {
                sink.pointee.applicationError = nghttp3_err_infer_quic_app_error_code(Int32(truncatingIfNeeded: count))
                return NGTCP2_ERR_CALLBACK_FAILURE
            }
            offer.vectors = count
            // A stream that has just run dry hides those behind it: ask again.
            guard offer.stream == -1, sink.pointee.emptyReads != emptyReads else { break }
            emptyReads = sink.pointee.emptyReads
        }
        for index in 0..<offer.vectors { offer.length += buffer.vectors[index].len }
        if offer.stream == -1, let pending = pendingFins.first {
            offer.stream = pending
            offer.fin = 1
            offer.isPendingFin = true
        }
        return 0
    }

    /// Tells nghttp3 what QUIC took of an offer; negative where the connection must end.
    private func settle(_ offer: Offer, _ written: ngtcp2_ssize, _ taken: ngtcp2_ssize) -> Int32 {
        switch Int32(truncatingIfNeeded: written) {
        case NGTCP2_ERR_STREAM_DATA_BLOCKED:
            if let http = sink.pointee.http { nghttp3_conn_block_stream(http, offer.stream) }
            return 0
        case NGTCP2_ERR_STREAM_SHUT_WR, NGTCP2_ERR_STREAM_NOT_FOUND:
            if let http = sink.pointee.http { nghttp3_conn_shutdown_stream_write(http, offer.stream) }
            pendingFins.removeAll { $0 == offer.stream }
            // It is also shut where a lost end has been sent from here; the record is void then.
            sink.pointee.records.append(.peerStopped(offer.stream))
            return 0
        case NGTCP2_ERR_WRITE_MORE:
            break
        case let status where status < 0:
            return status
        default:
            break
        }
        guard offer.stream >= 0 else { return 0 }
        guard taken >= 0 else {
            rememberFin(offer)
            return 0
        }
        return accept(offer, taken)
    }

    private func accept(_ offer: Offer, _ taken: Int) -> Int32 {
        if offer.fin != 0, taken == offer.length {
            finAccepted(offer.stream)
        }
        guard !offer.isPendingFin, let http = sink.pointee.http else { return 0 }
        let status = nghttp3_conn_add_write_offset(http, offer.stream, taken)
        guard status < 0 else { return 0 }
        sink.pointee.applicationError = nghttp3_err_infer_quic_app_error_code(status)
        return NGTCP2_ERR_CALLBACK_FAILURE
    }

    /// nghttp3 1.8 may never offer the bare end of a stream again if QUIC did not take it and all data before it is
    /// acknowledged in the meantime. It is kept here, and offered when nghttp3 has nothing else.
    private func rememberFin(_ offer: Offer) {
        guard offer.fin != 0, offer.length == 0, !pendingFins.contains(offer.stream) else { return }
        pendingFins.append(offer.stream)
    }

    private func finAccepted(_ id: Int64) {
        if !pendingFins.isEmpty { pendingFins.removeAll { $0 == id } }
        guard let stream = sink.pointee.streams[id] else { return }
        stream.pointee.finSent = true
        guard !stream.pointee.requestEnded, !stream.pointee.isTunnel || stream.pointee.applicationEnded else { return }
        awaitEnd(of: stream)
    }

    // MARK: Trains

    /// Adds a packet to the train; true where the train ends with it (or before it).
    private func add(
        _ written: Int,
        to train: inout Train,
        _ quic: QUICConnection,
        _ buffer: TransmitBuffer,
        usual: Int,
        quantum: Int
    ) -> Bool {
        let addresses = quic.addresses(of: buffer.path)
        let ecn = buffer.packetInfo.pointee.ecn
        guard train.length > 0, let first = train.addresses else {
            train.addresses = addresses
            train.ecn = ecn
            train.segmentSize = written
            train.length = written
            // A probe is larger than the rest: it goes alone.
            return written != usual || train.length + usual > quantum
        }
        if addresses != first || ecn != train.ecn || written > train.segmentSize {
            holdLast(written, train, addresses, ecn, buffer)
            return true
        }
        train.length += written
        return written < train.segmentSize || train.length + usual > quantum
    }

    /// Puts a packet that does not fit its train aside: it is the next one.
    private func holdLast(
        _ written: Int,
        _ train: Train,
        _ addresses: (local: SocketAddress, remote: SocketAddress),
        _ ecn: UInt8,
        _ buffer: TransmitBuffer
    ) {
        let bytes = UnsafeRawBufferPointer(rebasing: buffer.memory[train.length..<train.length + written])
        let packet = Transmit(
            bytes: bytes,
            segmentSize: written,
            local: addresses.local,
            remote: addresses.remote,
            ecn: ecn
        )
        heldTrains.append(HeldTrain(packet))
    }
}
