import ApusGateway

/// What client and server have agreed on about permessage-deflate (RFC 7692 §7.1).
package struct PerMessageDeflate: Hashable, Sendable {
    /// Whether each message of ours is compressed by itself.
    package let serverNoContextTakeover: Bool
    /// Whether each message of the client's is compressed by itself.
    package let clientNoContextTakeover: Bool
    /// The logarithm of the window that we compress with, 9 to 12.
    package let serverMaxWindowBits: Int
    /// The logarithm of the window that the client compresses with, 8 to 15.
    package let clientMaxWindowBits: Int
    /// Whether the answer speaks of the client's window, which it may only where the offer did (RFC 7692 §7.1.2.2).
    private let limitsClientWindow: Bool

    /// Our own window, and how much memory finds the matches in it: a quarter of what zlib takes by itself, for a few
    /// percent of the size.
    package static let ownWindowBits = 12
    package static let memoryLevel = 5
    /// The client's window is not made smaller than this: below, inflating hardly takes less.
    package static let leastClientWindowBits = 12

    /// Agrees to the first offer that can be kept to; nil where there is none.
    package static func negotiate(_ offers: [ExtensionOffer], options: WebSocketOptions) -> PerMessageDeflate? {
        for offer in offers where offer.name == "permessage-deflate" {
            guard let wishes = DeflateWishes(offer) else { continue }
            return PerMessageDeflate(wishes, memory: options.maxCompressionMemory)
        }
        return nil
    }

    /// As the client wishes, within so many bytes of memory: first the client's window is made smaller, then its context
    /// is not kept, then ours.
    private init(_ wishes: DeflateWishes, memory: Int) {
        serverMaxWindowBits = min(Self.ownWindowBits, wishes.serverMaxWindowBits)
        let ours = Self.deflateMemory(windowBits: serverMaxWindowBits)
        serverNoContextTakeover = wishes.serverNoContextTakeover || ours > memory

        let left = memory - (serverNoContextTakeover ? 0 : ours)
        limitsClientWindow = wishes.limitsClientWindow
        let widest = wishes.clientMaxWindowBits
        let narrowest = wishes.limitsClientWindow ? min(Self.leastClientWindowBits, widest) : widest
        let fitting = (narrowest...widest).last { Self.inflateMemory(windowBits: $0) <= left }
        clientNoContextTakeover = wishes.clientNoContextTakeover || fitting == nil
        clientMaxWindowBits = clientNoContextTakeover ? widest : fitting ?? widest
    }

    /// The value of the answer's `sec-websocket-extensions`.
    package var response: String {
        var response = "permessage-deflate"
        if serverNoContextTakeover { response += "; server_no_context_takeover" }
        if clientNoContextTakeover { response += "; client_no_context_takeover" }
        response += "; server_max_window_bits=\(serverMaxWindowBits)"
        if limitsClientWindow { response += "; client_max_window_bits=\(clientMaxWindowBits)" }
        return response
    }

    /// What compressing takes, in bytes: zlib's own figure (zconf.h), and its state.
    package static func deflateMemory(windowBits: Int) -> Int {
        1 << (windowBits + 2) + 1 << (memoryLevel + 9) + 6 * 1024
    }

    /// What inflating takes, in bytes (zconf.h).
    package static func inflateMemory(windowBits: Int) -> Int {
        1 << windowBits + 7 * 1024
    }
}

/// One offer of permessage-deflate, its parameters read.
private struct DeflateWishes {
    var serverNoContextTakeover = false
    var clientNoContextTakeover = false
    var serverMaxWindowBits = 15
    var clientMaxWindowBits = 15
    var limitsClientWindow = false

    /// Nil for an offer that is to be declined (RFC 7692 §7.1): a parameter that is unknown, comes twice or has a value
    /// that it must not have, or a window that we cannot keep to.
    init?(_ offer: ExtensionOffer) {
        var seen: Set<String> = []
        for parameter in offer.parameters {
            guard seen.insert(parameter.name).inserted, take(parameter.name, parameter.value) else { return nil }
        }
    }

    private mutating func take(_ name: String, _ value: String?) -> Bool {
        switch (name, value) {
        case ("server_no_context_takeover", nil):
            serverNoContextTakeover = true
        case ("client_no_context_takeover", nil):
            clientNoContextTakeover = true
        case ("server_max_window_bits", let value?):
            // zlib cannot make raw DEFLATE with a window of 256 bytes.
            guard let bits = Self.windowBits(value), bits > 8 else { return false }
            serverMaxWindowBits = bits
        case ("client_max_window_bits", nil):
            limitsClientWindow = true
        case ("client_max_window_bits", let value?):
            guard let bits = Self.windowBits(value) else { return false }
            limitsClientWindow = true
            clientMaxWindowBits = bits
        default:
            return false
        }
        return true
    }

    /// RFC 7692 §7.1.2: a decimal number from 8 to 15 without leading zeros.
    private static func windowBits(_ value: String) -> Int? {
        (8...15).first { String($0) == value }
    }
}
