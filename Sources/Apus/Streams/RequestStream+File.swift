import ApusGateway
import ApusHTTP
import ApusTransport
import Logging

// A file as the body: by descriptor where the connection takes it, else read as the client drains it.
extension RequestStream {
    func sendFile(_ path: String) throws {
        guard phase == .started, !bodyStarted else {
            throw ContractViolation("a file as the body before the response's start, or beside another body")
        }
        let region: FileRegion
        do {
            region = try FileSystem.openRegularFile(path)
        } catch {
            throw ContractViolation("pathSend: \(error)")
        }
        if let declared = bodyLeft, !dropsBody, declared != region.count {
            throw ContractViolation("the file has \(region.count) bytes, its content-length says \(declared)")
        }
        bodyStarted = true
        sendHead(beforeFileOf: region.count)
        guard !dropsBody, region.count > 0 else {
            finishFile(sendingEnd: !dropsBody && !headEndedStream)
            return
        }
        sentBytes += region.count
        if driver?.acceptsFiles == true {
            driver?.send(.file(region, end: !sendsTrailers), on: id)
            finishFile(sendingEnd: false)
        } else {
            phase = .sendingFile
            file = FileReader(region)
            pumpFile()
        }
    }

    private func sendHead(beforeFileOf count: Int) {
        guard let head = heldHead else { return }
        heldHead = nil
        driver?.holdsHeadNoMore(self)
        if head.contentLength == nil && ResponseRules.allowsContentLength(head.status) {
            head.contentLength = count
            head.headers.append("content-length", String(count))
        }
        if count == 0 && !sendsTrailers {
            head.endsStream = true
            headEndedStream = true
        }
        driver?.send(.head(head), on: id)
    }

    /// Reads on while the client drains; called again when what waited is below the low-water mark.
    func pumpFile() {
        guard let file, let driver, !clientGone else { return }
        while driver.bufferedOutput(on: id) <= worker.configuration.limits.streamSendHighWater {
            guard let piece = file.next() else {
                worker.logger.error("\(requestLine): the file became unreadable while it was sent")
                reset(.internalError)
                return
            }
            let last = file.left == 0
            driver.send(.body(piece, end: last && !sendsTrailers), on: id)
            if last {
                self.file = nil
                finishFile(sendingEnd: false)
                return
            }
        }
    }

    private func finishFile(sendingEnd: Bool) {
        if sendingEnd && !sendsTrailers { driver?.send(.body(Bytes(), end: true), on: id) }
        if announcedTrailers { phase = .awaitingTrailers } else { complete() }
    }
}
