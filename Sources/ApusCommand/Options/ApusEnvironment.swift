import ApusTransport
import Configuration

/// The variables `APUS_…`.
public struct ApusEnvironment: Sendable {
    private let reader: ConfigReader
    /// Whether a service manager has passed sockets to this process (sd_listen_fds(3)).
    let hasPassedSockets: Bool
    /// Where programs of this user have their sockets, if anywhere.
    let runtimeFolder: String?

    /// The variables of this process.
    public init() {
        self.init(EnvironmentVariablesProvider())
    }

    /// Variables of another kind, for tests and for embedders.
    public init(_ variables: [String: String]) {
        self.init(EnvironmentVariablesProvider(environmentVariables: variables))
    }

    private init(_ provider: EnvironmentVariablesProvider) {
        let all = ConfigReader(provider: provider)
        reader = all.scoped(to: "apus")
        runtimeFolder = all.string(forKey: ConfigKey(["xdg", "runtime", "dir"]))
        var passed: [String: String] = [:]
        for name in ["pid", "fds"] {
            passed["LISTEN_" + name.uppercased()] = all.string(forKey: ConfigKey(["listen", name]))
        }
        hasPassedSockets = !ServiceManager.passedSockets(passed).isEmpty
    }

    /// The first that is set of an option's names; one that is empty counts as not set.
    func setting(_ names: [String]) -> Setting? {
        for name in names {
            if let text = reader.string(forKey: ConfigKey([name]), isSecret: true), !text.isEmpty {
                return Setting(text: text, source: Self.variable(name), isOption: false)
            }
        }
        return nil
    }

    /// The members of a list that is separated by commas.
    func list(_ name: String) -> [Setting] {
        guard let list = setting([name]) else { return [] }
        return list.text.split(separator: ",")
            .map { member in
                Setting(text: member.filter { $0 != " " }, source: list.source, isOption: false)
            }
    }

    /// `--log-level` is `APUS_LOG_LEVEL`.
    private static func variable(_ name: String) -> String {
        "APUS_" + String(name.uppercased().map { $0 == "-" ? "_" : $0 })
    }
}
