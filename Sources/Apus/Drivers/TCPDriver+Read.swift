import ApusGateway
import ApusHTTP
import ApusTLS
import ApusTransport
import Logging

// From the socket to the protocol engine: read, decrypt, find out which protocol it is, tell the end.
extension TCPDriver {
    func read() {
        var rounds = 0
        while isReadable, wantsInput {
            guard rounds < Self.maxRoundsPerTurn else {
                scheduleFlush()
                return
            }
            rounds += 1
            readOnce()
        }
        // What the peer still sent lies unread behind a body that waits; its leaving counts all the same.
        if peerHasLeft && !wantsInput { inputEnded() }
    }

    var wantsInput: Bool {
        if let connection { return connection.wantsInput && !inputHasEnded }
        return stage != .closed
    }

    private func readOnce() {
        let buffer = worker.loop.readBuffer
        switch socket.read(into: buffer) {
        case .bytes(let count):
            // Edge-triggered: a short read has emptied the socket, the next byte is a new edge. A FIN is one already.
            if count < buffer.count && !peerHasLeft { isReadable = false }
            received(UnsafeRawBufferPointer(rebasing: buffer[0..<count]))
        case .wouldBlock:
            isReadable = false
        case .end:
            isReadable = false
            inputEnded()
        case .failed:
            isReadable = false
            abort()
        }
    }

    private func received(_ bytes: UnsafeRawBufferPointer) {
        if stage == .lingering {
            heardWhileLingering()
            return
        }
        guard let tls else {
            receivedPlaintext(bytes)
            return
        }
        do {
            let buffer = worker.plaintextBuffer
            let count = try tls.receive(bytes, into: buffer)
            if stage == .handshaking, tls.isHandshakeComplete { startServing(over: tls) }
            if count > 0 { receivedPlaintext(UnsafeRawBufferPointer(rebasing: buffer[0..<count])) }
            if tls.receivedCloseNotify { inputEnded() }
        } catch {
            failed(error)
        }
    }

    private func receivedPlaintext(_ bytes: UnsafeRawBufferPointer) {
        if stage == .detecting {
            detect(firstBytes + bytes)
            return
        }
        guard let connection else { return }
        connection.receive(bytes, now: now)
        if drainEvents(), isDraining { connection.shutdown(now: now) }
    }

    /// RFC 9113 §3.3: HTTP/2 with prior knowledge begins with a preface that is no HTTP/1 request.
    private func detect(_ bytes: [UInt8]) {
        let found = bytes.withUnsafeBytes { ProtocolPreface.classify($0) }
        switch found {
        case .undecided where listener.offers(.http2):
            firstBytes = bytes
            return
        case .http2 where listener.offers(.http2):
            serve(.http2(listener.http2Connection(now: now)))
        default:
            guard listener.offers(.http1) else {
                logClosing("the peer does not speak HTTP/2 and nothing else is served here")
                close()
                return
            }
            serve(.http1(listener.http1Connection(now: now)))
        }
        bytes.withUnsafeBytes { receivedPlaintext($0) }
    }

    private func startServing(over tls: TLSSession) {
        let facts = TLSInfo(
            version: Int(tls.version),
            cipherSuite: Int(tls.cipherSuite),
            serverName: tls.serverName
        )
        info = listener.info(of: socket, tls: facts, rootPath: worker.configuration.rootPath)
        if tls.negotiatedProtocol == .http2 {
            serve(.http2(listener.http2Connection(now: now)))
        } else if listener.offers(.http1) {
            serve(.http1(listener.http1Connection(now: now)))
        } else {
            logClosing("the peer did not offer h2, and nothing else is served over TCP here")
            close()
        }
    }

    private func serve(_ connection: TCPProtocol) {
        firstBytes = []
        self.connection = connection
        stage = .serving
        worker.serves(connection.version, self)
        // On HTTP/1 the first answer says that it is the last. On HTTP/2 the first request comes first: a client that is
        // told to go away before it asks would have connected for nothing.
        if isDraining, case .http1 = connection { connection.shutdown(now: now) }
    }

    private func inputEnded() {
        guard !inputHasEnded else { return }
        inputHasEnded = true
        guard let connection else {
            close()
            return
        }
        connection.receiveEnd(now: now)
        drainEvents()
    }

    /// Takes the connection's events to their streams; false where there was none.
    @discardableResult
    func drainEvents() -> Bool {
        var hadEvents = false
        while let event = connection?.nextEvent() {
            dispatch(event)
            hadEvents = true
        }
        if hadEvents, isDraining { owesResponses = true }
        return hadEvents
    }
}
