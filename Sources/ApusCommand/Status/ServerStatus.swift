import Apus
import ApusHTTP
import ApusTransport
import Glibc

/// Asks the servers of this user how they are: what `apus status` does.
package enum ServerStatus {
    /// How long a server may take to answer.
    private static let timeout = TimeSpan.seconds(5)
    /// The longest answer: some 200 bytes for each of a few hundred workers.
    private static let maxBytes = 1 << 20

    /// What is printed, and the exit code.
    package struct Outcome: Equatable {
        /// For standard output.
        package var lines: [String] = []
        /// For standard error.
        package var errors: [String] = []

        package var code: Int32 { lines.isEmpty ? ExitStatus.failed : ExitStatus.stopped }
    }

    /// Asks every server that is found, or the one at `path`.
    ///
    /// - Parameters:
    ///   - path: The socket to ask; `APUS_STATUS_SOCKET` where nil, else the usual places.
    ///   - asJSON: Gives what each of them says as it is, on a line of its own.
    package static func ask(_ path: String?, asJSON: Bool, environment: ApusEnvironment) -> Outcome {
        if let path = path ?? environment.setting(["status-socket"])?.text {
            return outcome([path], isChosen: true, asJSON: asJSON)
        }
        return ask(in: StatusFolder.all(environment.runtimeFolder, user: geteuid()), asJSON: asJSON)
    }

    /// Asks every server that has its socket in one of the folders.
    static func ask(in folders: [String], asJSON: Bool) -> Outcome {
        let outcome = outcome(folders.flatMap(SocketFolder.sockets), isChosen: false, asJSON: asJSON)
        if outcome.lines.isEmpty, outcome.errors.isEmpty {
            let places = folders.joined(separator: " or ")
            return Outcome(errors: [
                "no server with workers was found in \(places); --status-socket names another place"
            ])
        }
        return outcome
    }

    /// - Parameter isChosen: Whether a socket on which nobody answers is an error: among those that were found it is what a
    ///   killed server has left.
    private static func outcome(_ paths: [String], isChosen: Bool, asJSON: Bool) -> Outcome {
        var outcome = Outcome()
        for path in paths {
            do throws(SystemError) {
                let bytes = try UnixClient.readAll(path, limit: maxBytes, timeout: timeout)
                let text = String(decoding: bytes, as: UTF8.self).trimmed
                guard let report = JSONParser.parse(text), let table = StatusTable(report) else {
                    outcome.errors.append("what answers at '\(path)' is no server, or one of another version")
                    continue
                }
                if asJSON {
                    outcome.lines.append(text)
                } else {
                    if !outcome.lines.isEmpty { outcome.lines.append("") }
                    outcome.lines += table.lines
                }
            } catch {
                if !isChosen, [ECONNREFUSED, ENOENT].contains(error.code) { continue }
                outcome.errors.append("no server answers at '\(path)': \(error.reason)")
            }
        }
        return outcome
    }
}

extension String {
    /// Without the line's end.
    fileprivate var trimmed: String {
        var text = self[...]
        while text.last?.isNewline == true { text.removeLast() }
        return String(text)
    }
}
