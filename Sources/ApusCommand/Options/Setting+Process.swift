import Apus
import ApusTransport

extension Setting {
    /// How many workers; `auto` for as many as there are cores.
    func workers() throws(ConfigurationError) -> Int {
        let most = SupervisorSettings.mostWorkers
        if text.lowercased() == "auto" { return min(ProcessFacts.cores(), most) }
        guard let number = Int(text), (1...most).contains(number) else {
            throw error("'\(text)' is neither auto nor a number from 1 to \(most)")
        }
        return number
    }

    /// A whole number within bounds.
    func number(from lowest: Int, to highest: Int) throws(ConfigurationError) -> Int {
        guard let number = Int(text), (lowest...highest).contains(number) else {
            throw error("'\(text)' is not a number from \(lowest) to \(highest)")
        }
        return number
    }

    /// A number of MiB, in bytes.
    func mebibytes() throws(ConfigurationError) -> Int {
        let (bytes, overflow) = try number(from: 0).multipliedReportingOverflow(by: 1 << 20)
        guard !overflow else { throw error("'\(text)' MiB are more than there can be") }
        return bytes
    }

    /// A file's path.
    func path() throws(ConfigurationError) -> String {
        guard !text.isEmpty, !text.utf8.contains(0) else { throw error("'\(text)' is not the path of a file") }
        return text
    }

    /// The path of a unix socket, or none.
    func statusSocket() throws(ConfigurationError) -> SupervisorSettings.StatusSocket {
        if text == "none" { return .none }
        guard case .unix = try Bind(parsing: "unix:" + text, defaultPort: 0, option: source), !text.hasPrefix("@")
        else {
            throw error("'\(text)' is not the path of a file")
        }
        return .path(text)
    }

    /// When a client's address is validated.
    func quicRetry() throws(ConfigurationError) -> Configuration.QUICRetry {
        guard let retry = Configuration.QUICRetry(rawValue: text.lowercased()) else {
            throw error("'\(text)' is not off, auto or always")
        }
        return retry
    }

    /// Permission bits in octal digits, with or without a `0o` or `0` before them.
    func permissions() throws(ConfigurationError) -> UInt32 {
        let digits = text.hasPrefix("0o") ? text.dropFirst(2) : text[...]
        guard digits.utf8.allSatisfy({ (48...55).contains($0) }), let mode = UInt32(digits, radix: 8), mode <= 0o777
        else {
            throw error("'\(text)' is not a mode in octal such as 660")
        }
        return mode
    }

    /// `USER`, `USER:GROUP` or `:GROUP`, names or numbers.
    func owner() throws(ConfigurationError) -> (user: UInt32?, group: UInt32?) {
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map { String($0) }
        let group = parts.count > 1 ? parts[1] : nil
        do {
            switch (parts[0], group) {
            case ("", let group?): return (nil, try Account.groupNumber(group))
            case (let user, nil): return (try Account.userNumber(user), nil)
            case (let user, let group?): return (try Account.userNumber(user), try Account.groupNumber(group))
            }
        } catch {
            throw self.error(error.description)
        }
    }
}
