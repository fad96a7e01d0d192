import Apus
import ApusGateway

/// The applications that the command has in itself, by the names that are typed.
enum BuiltInApplication {
    static let names = "hello, echo, stream, sse, scope or files:DIR"

    private static let filesPrefix = "files:"

    static func isKnown(_ name: String) -> Bool {
        switch name {
        case "hello", "echo", "stream", "sse", "scope": true
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
        default: return try files(name)
        }
    }

    private static func files(_ name: String) throws -> any Application {
        do {
            return try StaticFiles(root: String(name.dropFirst(filesPrefix.count)))
        } catch {
            throw ConfigurationError(option: name, error.message)
        }
    }
}
