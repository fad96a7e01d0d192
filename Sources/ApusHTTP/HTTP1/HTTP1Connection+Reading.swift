import ApusGateway

extension HTTP1Connection {
    /// Uses as much of the kept input as can be used now.
    func readInput() {
        guard waitingInput > 0 else { return }
        // Lent out meanwhile, so that reading from it and changing this object do not overlap.
        let lent = input
        input = []
        let start = inputStart
        let used = lent.withUnsafeBytes { read(UnsafeRawBufferPointer(rebasing: $0[start...])) }
        guard reading != .closed else { return }
        keepInput(consume lent, from: start + used)
    }

    private func keepInput(_ bytes: consuming [UInt8], from start: Int) {
        input = bytes
        inputStart = start
        if start == input.count {
            // A tunnel may be silent for hours.
            input.removeAll(keepingCapacity: input.capacity <= 4096 && reading != .tunnel)
            inputStart = 0
        } else if start > input.count / 2 {
            input.removeSubrange(0..<start)
            inputStart = 0
        }
    }

    /// Interprets input until it ends or something else has to happen first; returns how much was used.
    func read(_ bytes: UnsafeRawBufferPointer) -> Int {
        var offset = 0
        while offset < bytes.count {
            let used = readNext(UnsafeRawBufferPointer(rebasing: bytes[offset...]))
            guard used > 0 else { break }
            offset += used
        }
        return offset
    }

    private func readNext(_ bytes: UnsafeRawBufferPointer) -> Int {
        do throws(RequestRefusal) {
            switch reading {
            case .head: return try readHead(bytes)
            case .length(let remaining): return readBody(bytes, remaining)
            case .chunked: return try readChunks(bytes)
            case .trailers: return try readTrailers(bytes)
            case .tunnel: return readTunnel(bytes)
            case .complete: return 0
            case .closed: return bytes.count
            }
        } catch {
            refuse(error)
            return bytes.count
        }
    }

    // MARK: Head

    private func readHead(_ bytes: UnsafeRawBufferPointer) throws(RequestRefusal) -> Int {
        // A client that pipelines but does not read its responses waits here.
        guard output.count <= limits.streamSendLowWater else { return 0 }
        // RFC 9112 §2.2: one empty line before the request line is passed over.
        if !hasSkippedEmptyLine, bytes[0] == UInt8(ascii: "\r") {
            guard bytes.count > 1 else { return 0 }
            if bytes[1] == UInt8(ascii: "\n") {
                hasSkippedEmptyLine = true
                return 2
            }
        }
        if headScanner.isUnderWay, !headScanner.canDecide(bytes, headLimits) { return 0 }
        guard let parsed = try parser.parse(bytes) else {
            _ = headScanner.canDecide(bytes, headLimits)
            return 0
        }
        headScanner.reset()
        hasSkippedEmptyLine = false
        begin(parsed)
        return parsed.byteCount
    }

    private func begin(_ parsed: ParsedRequest) {
        requestCount += 1
        responding = .head
        unconsumed = 0
        request = RequestFacts(
            isHTTP10: parsed.head.version == .http10,
            isHead: parsed.head.isHead,
            keepsAlive: parsed.keepsAlive,
            awaitsContinue: parsed.head.expectsContinue,
            isWebSocket: parsed.head.isWebSocket
        )
        events.append(.request(StreamID(requestCount), parsed.head))
        if parsed.head.isWebSocket {
            // What follows is a tunnel's or nothing: it waits for the answer.
            reading = .complete
            return
        }
        switch parsed.framing {
        case .none: endRequest(trailers: nil)
        case .length(let count): reading = .length(count)
        case .chunked:
            reading = .chunked
            chunks = ChunkedDecoder(maxExtensionsSize: limits.maxChunkExtensionsSize)
        }
    }

    /// Everything of the request is read.
    private func endRequest(trailers: Headers?) {
        request.awaitsContinue = false
        reading = .complete
        if isRequestLive {
            events.append(.end(StreamID(requestCount), trailers: trailers))
        } else {
            finishExchange()
        }
    }

    // MARK: Body

    private func readBody(_ bytes: UnsafeRawBufferPointer, _ remaining: Int) -> Int {
        let count = min(remaining, bytes.count, bodyRoom)
        guard count > 0 else { return 0 }
        if isRequestLive {
            deliver(Bytes(copying: UnsafeRawBufferPointer(rebasing: bytes[..<count])))
        }
        reading = .length(remaining - count)
        if count == remaining { endRequest(trailers: nil) }
        return count
    }

    /// Delivers a tunnel's bytes as they come.
    private func readTunnel(_ bytes: UnsafeRawBufferPointer) -> Int {
        let count = min(bytes.count, bodyRoom)
        guard count > 0 else { return 0 }
        deliver(Bytes(copying: UnsafeRawBufferPointer(rebasing: bytes[..<count])))
        return count
    }

    /// Delivers what waits of a tunnel whose peer has ended its side: the window stops nobody any more, and the last
    /// bytes may be the WebSocket's own good-bye.
    func deliverRestOfTunnel() {
        while waitingInput > 0 {
            let end = min(input.count, inputStart + Self.maxBodyPiece)
            deliver(Bytes(input[inputStart..<end]))
            inputStart = end
        }
    }

    /// How many body bytes may be read in one piece now.
    private var bodyRoom: Int {
        guard isRequestLive else { return .max }
        return min(Self.maxBodyPiece, limits.streamReceiveWindow - unconsumed)
    }

    private func deliver(_ piece: Bytes) {
        request.awaitsContinue = false
        unconsumed += piece.count
        events.append(.body(StreamID(requestCount), piece))
    }

    /// Gathers the data of all chunks that fit one piece, so that many small chunks make few events.
    private func readChunks(_ bytes: UnsafeRawBufferPointer) throws(RequestRefusal) -> Int {
        let room = bodyRoom
        guard room > 0 else { return 0 }
        let input = UnsafeRawBufferPointer(rebasing: bytes[..<min(bytes.count, room)])
        var offset = 0
        var gathered = GatheredPiece()
        steps: while true {
            switch try chunks.next(input, &offset) {
            case .data(let count):
                gathered.add(UnsafeRawBufferPointer(rebasing: input[offset..<offset + count]))
                offset += count
            case .lastChunk:
                reading = .trailers
                break steps
            case .needsInput:
                break steps
            }
        }
        if isRequestLive {
            if let piece = gathered.bytes { deliver(piece) }
        } else {
            drain(offset)
        }
        return offset
    }

    /// Counts input that is thrown away; the size of a chunked body shows only as it comes.
    private func drain(_ count: Int) {
        drained += count
        if drained > limits.maxDrainedBodySize { close() }
    }

    private func readTrailers(_ bytes: UnsafeRawBufferPointer) throws(RequestRefusal) -> Int {
        if trailerScanner.isUnderWay, !trailerScanner.canDecide(bytes, headLimits) { return 0 }
        guard let base = bytes.baseAddress,
            let (trailers, used) = try FieldSection.read(
                base,
                from: 0,
                to: bytes.count,
                headLimits,
                { section, end throws(RequestRefusal) in (Self.trailers(section), end) }
            )
        else {
            _ = trailerScanner.canDecide(bytes, headLimits)
            return 0
        }
        trailerScanner.reset()
        endRequest(trailers: trailers)
        return used
    }

    /// The trailers that mean something there; nil where there are none.
    private static func trailers(_ section: FieldSection) -> Headers? {
        guard section.count > 0 else { return nil }
        // RFC 9110 §6.5.1: never merged into the head, and without what belongs only there.
        let kept = section.headers().filtered { name, _ in !FieldRules.isForbiddenTrailer(name) }
        return kept.isEmpty ? nil : kept
    }
}

/// The data of one or more chunks, copied once where it lies in one place.
private struct GatheredPiece {
    private var first = UnsafeRawBufferPointer(start: nil, count: 0)
    private var joined: [UInt8] = []

    /// - Parameter data: Valid until ``bytes`` is asked for.
    mutating func add(_ data: UnsafeRawBufferPointer) {
        if first.count == 0 {
            first = data
        } else {
            if joined.isEmpty { joined.append(contentsOf: first) }
            joined.append(contentsOf: data)
        }
    }

    /// Nil where there is no data.
    var bytes: Bytes? {
        guard first.count > 0 else { return nil }
        return joined.isEmpty ? Bytes(copying: first) : Bytes(joined)
    }
}
