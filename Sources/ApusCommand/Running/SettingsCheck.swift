import Apus
import ApusGateway

/// What `--check` does: all that a start does, but for ports and the application's startup.
enum SettingsCheck {
    /// - Throws: What a start would end with.
    static func run(
        _ settings: ServerSettings,
        _ part: ProcessPart,
        _ application: () async throws -> any Application
    ) async throws {
        if case .stranger = part { throw HandoverError() }
        _ = try ServerIdentity.load(settings.configuration, .random())
        _ = try settings.supervisor.account()
        _ = try await ApplicationFailed.check(application)
        print("the settings, the certificate and the application are in order")
    }
}
