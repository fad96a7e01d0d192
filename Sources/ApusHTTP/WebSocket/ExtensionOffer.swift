import ApusGateway

/// One member of a `sec-websocket-extensions` field: an extension's name with its parameters (RFC 6455 §9.1).
package struct ExtensionOffer: Hashable {
    package let name: String
    package let parameters: [Parameter]

    package struct Parameter: Hashable {
        package let name: String
        /// The value, without the quotes where it had some; nil where the parameter is its name alone.
        package let value: String?
    }

    /// The members of a field's value, in order; nil where it breaks the grammar. Empty members are passed over
    /// (RFC 9110 §5.6.1.2).
    package static func list(_ value: UnsafeRawBufferPointer) -> [ExtensionOffer]? {
        var parser = Parser(bytes: value)
        return parser.list()
    }
}

/// Reads the grammar of RFC 6455 §9.1, byte by byte and each byte once.
private struct Parser {
    let bytes: UnsafeRawBufferPointer
    var position = 0

    mutating func list() -> [ExtensionOffer]? {
        var offers: [ExtensionOffer] = []
        while true {
            skipBlanks()
            guard let next = peek else { return offers }
            if next == UInt8(ascii: ",") {
                position += 1
                continue
            }
            guard let offer = offer() else { return nil }
            offers.append(offer)
            guard peek == nil || skip(",") else { return nil }
        }
    }

    /// `extension-token *( ";" extension-param )`, and the blanks behind.
    private mutating func offer() -> ExtensionOffer? {
        guard let name = token() else { return nil }
        var parameters: [ExtensionOffer.Parameter] = []
        skipBlanks()
        while skip(";") {
            skipBlanks()
            guard let parameter = parameter() else { return nil }
            parameters.append(parameter)
            skipBlanks()
        }
        return ExtensionOffer(name: name, parameters: parameters)
    }

    /// `token [ "=" ( token / quoted-string ) ]`.
    private mutating func parameter() -> ExtensionOffer.Parameter? {
        guard let name = token() else { return nil }
        skipBlanks()
        guard skip("=") else { return ExtensionOffer.Parameter(name: name, value: nil) }
        skipBlanks()
        guard let value = skip("\"") ? restOfQuotedToken() : token() else { return nil }
        return ExtensionOffer.Parameter(name: name, value: value)
    }

    private mutating func token() -> String? {
        let start = position
        while let next = peek, FieldRules.isTokenCharacter(next) { position += 1 }
        guard position > start else { return nil }
        return String(decoding: bytes[start..<position], as: UTF8.self)
    }

    /// What stands up to the closing quote. RFC 6455 §9.1: the value after quoted-string unescaping MUST be a token.
    private mutating func restOfQuotedToken() -> String? {
        var value: [UInt8] = []
        while let next = peek, next != UInt8(ascii: "\"") {
            position += 1
            guard next == UInt8(ascii: "\\") else {
                value.append(next)
                continue
            }
            guard let escaped = peek else { return nil }
            position += 1
            value.append(escaped)
        }
        guard skip("\""), value.withUnsafeBytes({ FieldRules.isToken($0) }) else { return nil }
        return String(decoding: value, as: UTF8.self)
    }

    private var peek: UInt8? { position < bytes.count ? bytes[position] : nil }

    private mutating func skip(_ wanted: Unicode.Scalar) -> Bool {
        guard peek == UInt8(ascii: wanted) else { return false }
        position += 1
        return true
    }

    private mutating func skipBlanks() {
        while let next = peek, next == 0x20 || next == 0x09 { position += 1 }
    }
}
