import Apus
import ApusGateway
import ApusTransport

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
        // As in a start: the application never has more rights than it is given there, and leaves no files of root's.
        try settings.supervisor.account()?.assume()
        _ = try await ApplicationFailed.check(application)
        print("the settings, the certificate and the application are in order")
    }
}
