import Apus
import Logging

/// A value as it was given, and where: what is wrong with it is said under that name.
struct Setting: Equatable {
    let text: String
    /// `--port` or `APUS_PORT`.
    let source: String
    /// Whether it comes from the command line, which goes before the environment.
    let isOption: Bool

    func error(_ message: String) -> ConfigurationError {
        ConfigurationError(option: source, message)
    }
}

extension Setting {
    /// A port from `lowest` on.
    func port(from lowest: Int) throws(ConfigurationError) -> Int {
        guard let port = Int(text), (lowest...65535).contains(port) else {
            throw error("'\(text)' is not a port from \(lowest) to 65535")
        }
        return port
    }

    /// A whole number from `lowest` on.
    func number(from lowest: Int) throws(ConfigurationError) -> Int {
        guard let number = Int(text), number >= lowest else {
            throw error("'\(text)' is not a number from \(lowest) on")
        }
        return number
    }

    /// Seconds, with or without a fraction.
    func seconds() throws(ConfigurationError) -> Double {
        guard let seconds = Double(text), seconds >= 0, seconds.isFinite else {
            throw error("'\(text)' is not a number of seconds")
        }
        return seconds
    }

    /// Yes or no.
    func isOn() throws(ConfigurationError) -> Bool {
        switch text.lowercased() {
        case "1", "true", "yes", "on": return true
        case "0", "false", "no", "off": return false
        default: throw error("'\(text)' is neither true nor false")
        }
    }

    /// A level of swift-log, by its name.
    func logLevel() throws(ConfigurationError) -> Logger.Level {
        guard let level = Logger.Level(rawValue: text.lowercased()) else {
            let names = Logger.Level.allCases.map(\.rawValue).joined(separator: ", ")
            throw error("'\(text)' is not a log level: \(names)")
        }
        return level
    }

    /// A path that begins with a slash, without the one at its end.
    func mountPath() throws(ConfigurationError) -> String {
        guard text.hasPrefix("/") else { throw error("'\(text)' does not begin with a '/'") }
        var path = text
        while path.hasSuffix("/") { path.removeLast() }
        return path
    }

    /// A host without the brackets of an IPv6 address.
    func host() throws(ConfigurationError) -> String {
        let bracketed = text.hasPrefix("[") && text.hasSuffix("]")
        let host = bracketed ? String(text.dropFirst().dropLast()) : text
        guard !host.isEmpty, !host.contains("["), !host.contains("]"), !host.contains(" ") else {
            throw error("'\(text)' is not a host name or address")
        }
        return host
    }

    /// A list of versions, in the peers' spellings too; `auto` for all, which is nil.
    func httpVersions() throws(ConfigurationError) -> Set<Configuration.HTTPProtocol>? {
        if text.lowercased() == "auto" { return nil }
        var versions: Set<Configuration.HTTPProtocol> = []
        for name in text.split(separator: ",", omittingEmptySubsequences: false) {
            switch name.lowercased().filter({ $0 != " " }) {
            case "1.1", "1", "h1", "http1", "http/1.1": versions.insert(.http1)
            case "2", "h2", "http2", "http/2": versions.insert(.http2)
            case "3", "h3", "http3", "http/3": versions.insert(.http3)
            default: throw error("'\(name)' is not a version of HTTP: 1.1, 2 or 3")
            }
        }
        return versions
    }
}
