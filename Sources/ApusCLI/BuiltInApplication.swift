import Apus
import ApusGateway

/// The applications that the command has in itself, by the names that are typed.
enum BuiltInApplication {
    static let names = "hello, echo, stream, sse, scope, ws-echo, ws-chat or files:DIR"

    private static let filesPrefix = "files:"

    static func isKnown(_ name: String) -> Bool {
        switch name {
        case "hello", "echo", "stream", "sse", "scope", "ws-echo", "ws-chat": true
        default: name.hasPrefix(filesPrefix) && name.count > filesPrefix.count
        }
    }

    /// Makes the application of a known name.
    ///
    /// - Throws: A `ConfigurationError` where the directory of `files:DIR` cannot be opened.
    static func make(_ name: String) throws -> any Application {
        switch name {
        case "hello": return HelloApplication()
        case "echo": return EchoApplication()
        case "stream": return StreamApplication()
        case "sse": return EventsApplication()
        case "scope": return ScopeApplication()
        case "ws-echo": return WebSocketEchoApplication()
        case "ws-chat": return WebSocketChatApplication()
        default: return try files(name)
        }
    }

    /// What an application answers that serves requests alone: an opening is denied with 403, and of the lifespan it
    /// takes no part.
    static func decline(_ scope: Scope, _ send: Send) async throws {
        if case .webSocket = scope { try await send(.webSocketClose()) }
    }

    private static func files(_ name: String) throws -> any Application {
        do {
            return try StaticFiles(root: String(name.dropFirst(filesPrefix.count)))
        } catch {
            throw ConfigurationError(option: name, error.message)
        }
    }
}
