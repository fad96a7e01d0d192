import ApusCommand

/// What a member of the chat asks for: a JSON object in a text message.
enum ChatMessage: Equatable {
    /// `{"type": "say", "text": "…"}`
    case say(String)
    /// `{"type": "name", "name": "…"}`
    case name(String)

    /// What is said at once, in bytes of UTF-8.
    static let maxTextBytes = 4096
    /// A name, in bytes of UTF-8.
    static let maxNameBytes = 64
    /// A whole message, in bytes: a text of which each byte is escaped, and room for the rest.
    static let maxBytes = 32 * 1024

    /// Reads a message; nil for what is none, is empty, or is longer than it may be.
    init?(_ json: String) {
        guard json.utf8.count <= Self.maxBytes, let message = JSONParser.parse(json),
            case .string(let type)? = message["type"]
        else { return nil }
        switch (type, message["text"], message["name"]) {
        case ("say", .string(let text)?, _):
            guard !Self.isBlank(text), text.utf8.count <= Self.maxTextBytes else { return nil }
            self = .say(text)
        case ("name", _, .string(let name)?):
            guard !Self.isBlank(name), name.utf8.count <= Self.maxNameBytes else { return nil }
            self = .name(name)
        default: return nil
        }
    }

    private static func isBlank(_ text: String) -> Bool {
        text.allSatisfy(\.isWhitespace)
    }
}

/// What the room tells a member, as a JSON object.
enum ChatNews {
    /// Told to the one who has come alone, and first of all.
    case welcome(member: Int, name: String, present: Int, version: String)
    case joined(name: String, present: Int)
    case left(name: String, present: Int)
    case renamed(member: Int, from: String, to: String)
    case said(member: Int, name: String, text: String)

    var text: String { json.text }

    private var json: JSONValue {
        switch self {
        case .welcome(let member, let name, let present, let version):
            .object([
                ("type", "welcome"), ("member", .number(member)), ("name", .string(name)),
                ("present", .number(present)), ("protocol", .string(version)),
            ])
        case .joined(let name, let present):
            .object([("type", "joined"), ("name", .string(name)), ("present", .number(present))])
        case .left(let name, let present):
            .object([("type", "left"), ("name", .string(name)), ("present", .number(present))])
        case .renamed(let member, let from, let to):
            .object([
                ("type", "renamed"), ("member", .number(member)), ("from", .string(from)), ("to", .string(to)),
            ])
        case .said(let member, let name, let text):
            .object([
                ("type", "said"), ("member", .number(member)), ("name", .string(name)), ("text", .string(text)),
            ])
        }
    }
}
