import ApusHTTP
import ApusTLS
import ApusTransport

// How output reaches the socket: gathered writes in plaintext, whole TLS records, files by descriptor.
extension TCPDriver {
    /// Pieces of one gathered write.
    private static let maxVectors = 64

    /// What a client reads that speaks plain HTTP to a TLS port.
    private static let answerToPlaintext: StaticString =
        "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\nconnection: close\r\ncontent-length: 39\r\n\r\nThis port speaks HTTPS, not plain HTTP\n"

    func writeOnce() {
        if let tls {
            if !tls.hasOutput { encrypt(with: tls) }
            writeCiphertext()
        } else {
            writePlaintext()
        }
    }

    func writeCiphertext() {
        guard let tls, tls.hasOutput, isWritable else { return }
        settle(socket.write(tls.pendingOutput)) { tls.consumeOutput($0) }
    }

    private func writePlaintext() {
        if let piece = output.onlyPiece {
            settle(socket.write(piece)) { output.consume($0) }
            return
        }
        if case .file(let region, let offset, let count) = output.front {
            let result = socket.sendFile(from: region.descriptor, offset: offset, count: count)
            if case .wrote(0) = result {
                // The file has become shorter: what is missing cannot be made up, so the client must see a reset.
                logClosing("a file became shorter while it was sent")
                abort()
                return
            }
            settle(result) { output.consume($0) }
            return
        }
        let result = output.withVectors(limit: Self.maxVectors) { socket.write($0) }
        settle(result) { output.consume($0) }
    }

    private func settle(_ result: WriteResult, _ consume: (Int) -> Void) {
        switch result {
        case .wrote(let count): consume(count)
        case .wouldBlock: isWritable = false
        case .failed: abort()
        }
    }

    /// Encrypts what is at the front: large pieces where they are, small ones gathered into records.
    private func encrypt(with tls: TLSSession) {
        var taken = 0
        var failure: TLSError?
        output.withVectors(limit: Self.maxVectors) { vectors in
            do throws(TLSError) {
                taken = try tls.write(vectors)
            } catch {
                failure = error
            }
        }
        if let failure {
            failed(failure)
        } else {
            output.consume(taken)
        }
    }

    /// TLS has failed: the peer gets the alert, or, where it spoke plain HTTP, an answer that it can read.
    func failed(_ error: TLSError) {
        logClosing(error.description)
        // It cannot be encrypted any more, and trying would fail again in every turn.
        output.removeAll()
        if case .plaintextHTTP = error {
            output.append(literal: Self.answerToPlaintext)
            _ = output.withVectors(limit: 1) { socket.write($0) }
            output.removeAll()
        } else {
            writeCiphertext()
        }
        clientLeft()
        linger()
    }
}
