import Apus
import ApusGateway
import ApusTransport

/// What `--check` does: all that a start does, but for ports and the application's startup.
enum SettingsCheck {
    /// What a new executable says on standard error of the state that its supervisor has given it. Any program may end
    /// with 0; one that does not say this knows nothing of supervisors.
    static let understanding = "the state of the running supervisor is understood"

    /// - Throws: What a start would end with.
    static func run(
        _ settings: ServerSettings,
        _ part: ProcessPart,
        _ application: () async throws -> any Application
    ) async throws {
        switch part {
        case .stranger: throw HandoverError()
        // Before the application may write as much as it likes.
        case .successor: StandardError.writeLine(understanding)
        case .first, .worker: break
        }
        _ = try ServerIdentity.load(settings.configuration, .random())
        // As in a start: the application never has more rights than it is given there, and leaves no files of root's.
        try settings.supervisor.account()?.assume()
        _ = try await ApplicationFailed.check(application)
        print("the settings, the certificate and the application are in order")
    }
}
