import ApusHTTP
import Testing

/// What is agreed on for an offer; nil where it is declined.
func negotiated(_ offers: String, _ options: WebSocketOptions = WebSocketOptions()) -> PerMessageDeflate? {
    let list = Array(offers.utf8).withUnsafeBytes { ExtensionOffer.list($0) }
    return PerMessageDeflate.negotiate(list ?? [], options: options)
}

/// What is agreed on for an offer that is accepted.
func agreed(_ offers: String) throws -> PerMessageDeflate {
    try #require(negotiated(offers))
}

/// Text that compresses about as well as text does: words of a small vocabulary.
func words(_ count: Int, seed: UInt64 = 1) -> [UInt8] {
    var generator = SeededGenerator(state: seed)
    var text: [UInt8] = []
    while text.count < count {
        text += Array("word\(UInt64.random(in: 0..<300, using: &generator)) ".utf8)
    }
    return Array(text.prefix(count))
}

/// Bytes that do not compress.
func noise(_ count: Int, seed: UInt64 = 1) -> [UInt8] {
    var generator = SeededGenerator(state: seed)
    return (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) }
}
