import ApusGateway

extension WebSocketConnection {
    /// The largest piece of the payload that is unmasked and inflated at once.
    private static let inflateInput = 4096
    /// The bounds of the room that one step of inflating gets.
    private static let inflateRoom = 256...16 * 1024

    /// Inflates payload of the frame under way, as far as the message may grow; says how many bytes of it are done with.
    ///
    /// zlib may have taken a byte whose data it could not write any more. Such a byte is not said to be done with, so that
    /// it comes again: whoever waits for room always has something to give when there is some.
    func inflatePayload(_ payload: UnsafeRawBufferPointer) throws(WebSocketFault) -> Int {
        var given = isByteAhead ? 1 : 0
        while allowance > 0, given < payload.count || isByteAhead {
            let end = min(payload.count, given + Self.inflateInput)
            let step = try inflate(UnsafeRawBufferPointer(rebasing: payload[given..<end]))
            given += step.consumed
            isByteAhead = step.progress == .outputFull
            deliverFullPiece()
        }
        return isByteAhead ? max(given - 1, 0) : given
    }

    /// One step: what is masked comes in, and as much as there is room for comes out.
    private func inflate(_ masked: UnsafeRawBufferPointer) throws(WebSocketFault) -> MessageInflater.Step {
        let inflater = openInflater()
        var key = frame?.key ?? MaskKey(0)
        let step = try withUnsafeTemporaryAllocation(byteCount: max(masked.count, 1), alignment: 16) {
            scratch throws(WebSocketFault) in
            var turned = key
            if let start = scratch.baseAddress { turned.unmask(masked, into: start) }
            let input = UnsafeRawBufferPointer(rebasing: scratch[..<masked.count])
            return try grow(expecting: masked.count, atMost: allowance) { inflater?.inflate(input, into: $0) }
        }
        key.skip(step.consumed)
        frame?.key = key
        return step
    }

    /// The message's payload is complete: what the sender has cut off its end (RFC 7692 §7.2.2) may bring a little more,
    /// which comes whether or not the message should pause.
    func finishInflating() throws(WebSocketFault) {
        let inflater = openInflater()
        var progress = MessageInflater.Progress.outputFull
        while progress == .outputFull {
            progress = try grow(expecting: 0, atMost: .max) { inflater?.finish(into: $0) }.progress
            deliverFullPiece()
        }
    }

    /// Lets the message under way grow by what `fill` writes, with room for one byte more than the message may have.
    private func grow(
        expecting input: Int,
        atMost allowance: Int,
        _ fill: (UnsafeMutableRawBufferPointer) -> MessageInflater.Step?
    ) throws(WebSocketFault) -> MessageInflater.Step {
        let none = MessageInflater.Step(consumed: 0, produced: 0, progress: .invalid)
        let usual = min(max(4 * input, Self.inflateRoom.lowerBound), Self.inflateRoom.upperBound)
        let left = max(options.maxMessageSize - (message?.size ?? 0), 0)
        let room = min(usual, allowance, roomInPiece, left < .max ? left + 1 : left)
        let step = try message?.append(room: room) { fill($0) ?? none } ?? none
        guard message?.size ?? 0 <= options.maxMessageSize else { throw .messageTooBig }
        switch step.progress {
        case .invalid: throw .invalidCompression
        case .outOfMemory: throw .outOfMemory
        case .needsInput, .outputFull, .messageEnded: return step
        }
    }

    private func openInflater() -> MessageInflater? {
        if inflater == nil { inflater = deflate.map { MessageInflater($0) } }
        return inflater
    }
}
