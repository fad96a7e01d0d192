import ApusHTTP

/// Compression by itself.
///
/// The input: a byte for the parameters agreed on, two for the sizes of the steps, then messages, each behind two bytes
/// that say how long it is and whether it is taken as compressed or is to be compressed.
enum InflationFuzz {
    /// What is inflated of one message at most.
    private static let most = 1 << 18

    static func run(_ bytes: [UInt8]) throws(FuzzFinding) {
        var script = FuzzScript(bytes)
        let agreed = FuzzAgreement.agreed(script.byte())
        let inputSize = 1 + script.number(below: 256)
        let outputSize = 1 + script.number(below: 256) * 16
        let whole = Inflation(agreed, inputSize: .max, outputSize: most)
        let pieces = Inflation(agreed, inputSize: inputSize, outputSize: outputSize)
        let deflater = MessageDeflater(agreed)
        let peer = PeerInflater(
            windowBits: agreed.serverMaxWindowBits,
            keepsContext: !agreed.serverNoContextTakeover
        )
        while !script.isAtEnd {
            let kind = script.byte()
            let message = script.bytes(Int(kind >> 2) * 8 + Int(script.byte()) % 64)
            if kind & 1 == 0 {
                try inflate(message, whole, pieces)
            } else {
                try roundTrip(message, repeated: 1 + Int(kind & 2) * 20, deflater, peer)
            }
        }
    }

    /// Steps of every size come to the same.
    private static func inflate(_ payload: [UInt8], _ whole: Inflation, _ pieces: Inflation) throws(FuzzFinding) {
        let expected = try whole.message(payload, most: most)
        let found = try pieces.message(payload, most: most)
        try promise(expected == found, "the sizes of the steps change nothing")
    }

    /// What is compressed is smaller, and inflates to what it was; whether or not it was compressed, the context stays fit.
    private static func roundTrip(
        _ piece: [UInt8],
        repeated: Int,
        _ deflater: MessageDeflater,
        _ peer: PeerInflater
    ) throws(FuzzFinding) {
        let message = Array(repeatElement(piece, count: repeated).joined())
        guard let payload = message.withUnsafeBytes({ deflater.start($0, isLast: true) }) else { return }
        try promise(payload.count < message.count, "compressed is smaller")
        try promise(peer.message(Array(payload), most: message.count) == message, "a message survives")
    }
}

/// Inflates messages in steps of the sizes given.
final class Inflation {
    enum Outcome: Equatable {
        case message([UInt8])
        case invalid
        case tooLong
    }

    private let inflater: MessageInflater
    private let inputSize: Int
    private var output: [UInt8]
    private var isOver = false

    init(_ agreed: PerMessageDeflate, inputSize: Int, outputSize: Int) {
        inflater = MessageInflater(agreed)
        self.inputSize = inputSize
        output = [UInt8](repeating: 0, count: outputSize)
    }

    func message(_ payload: [UInt8], most: Int) throws(FuzzFinding) -> Outcome {
        if isOver { return .tooLong }
        var whole: [UInt8] = []
        var position = 0
        while true {
            let isDone = position == payload.count
            let piece = payload[position..<position + min(inputSize, payload.count - position)]
            let step = piece.withUnsafeBytes { piece in
                output.withUnsafeMutableBytes { output in
                    isDone ? inflater.finish(into: output) : inflater.inflate(piece, into: output)
                }
            }
            try check(step, isDone ? 0 : piece.count, isDone)
            position += step.consumed
            whole += output.prefix(step.produced)
            guard whole.count < most else {
                isOver = true
                return .tooLong
            }
            switch step.progress {
            case .messageEnded: return .message(whole)
            case .invalid, .outOfMemory: return .invalid
            case .needsInput, .outputFull: break
            }
        }
    }

    private func check(_ step: MessageInflater.Step, _ given: Int, _ isDone: Bool) throws(FuzzFinding) {
        try promise(step.consumed >= 0 && step.consumed <= given, "no more is consumed than given")
        try promise(step.produced >= 0 && step.produced <= output.count, "no more is produced than there is room for")
        switch step.progress {
        case .needsInput: try promise(!isDone && step.consumed == given, "it asks for input when it has none")
        case .outputFull: try promise(step.produced == output.count, "the output is full")
        case .messageEnded: try promise(isDone, "a message ends when it is finished")
        case .invalid: try promise(!inflater.hasContext, "what is invalid keeps no memory")
        case .outOfMemory: throw FuzzFinding("no memory")
        }
    }
}

/// Parameters of permessage-deflate by a byte of a script.
enum FuzzAgreement {
    static func agreed(_ byte: UInt8) -> PerMessageDeflate {
        var offer = "permessage-deflate"
        if byte & 1 != 0 { offer += "; server_no_context_takeover" }
        if byte & 2 != 0 { offer += "; client_no_context_takeover" }
        if byte & 4 != 0 { offer += "; server_max_window_bits=\(9 + (byte >> 3 & 3))" }
        if byte & 32 != 0 { offer += "; client_max_window_bits=\(9 + 2 * (byte >> 6))" }
        let list = Array(offer.utf8).withUnsafeBytes { ExtensionOffer.list($0) }
        guard let agreed = PerMessageDeflate.negotiate(list ?? [], options: WebSocketOptions()) else {
            fatalError("a good offer is accepted")
        }
        return agreed
    }
}
