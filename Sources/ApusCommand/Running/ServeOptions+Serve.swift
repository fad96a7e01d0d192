import Apus
import ArgumentParser
import Logging

extension ServeOptions {
    /// Serves an application until the process is told to stop: settings, logs, signals and the banner.
    ///
    /// SIGINT and SIGTERM let requests finish, as long as `--graceful-timeout` says; a second signal ends the process at
    /// once with code 130 or 143.
    ///
    /// - Throws: `ExitCode`, after the reason was written to standard error: 2 for settings, files and ports, 3 for an
    ///   application that cannot start, 1 for anything else.
    public func serve(_ application: any Application) async throws {
        let code = await exitStatus(serving: application)
        if code != ExitStatus.stopped { throw ExitCode(code) }
    }

    /// Serves an application; says why on standard error where it ends with another code than 0.
    package func exitStatus(serving application: any Application) async -> Int32 {
        do {
            let settings = try settings()
            let logger = Logger(label: "apus") { StandardErrorLog(label: $0, level: settings.logLevel) }
            let server = Server(configuration: settings.configuration, application: application, logger: logger)
            StopSignals.install { server.shutdown() }
            let banner = Task { try await Self.printBanner(server) }
            defer { banner.cancel() }
            try await server.run()
            return ExitStatus.stopped
        } catch {
            StandardError.writeLine("Error: \(error)")
            return Self.exitStatus(for: error)
        }
    }

    /// Says what listens where, once it does.
    private static func printBanner(_ server: Server) async throws {
        let listeners = try await server.listeners()
        StandardError.writeLine("Apus \(Version.text)")
        for listener in listeners {
            StandardError.writeLine("listening on \(listener)")
        }
    }

    static func exitStatus(for error: any Error) -> Int32 {
        switch error {
        case is ConfigurationError, is BindError: ExitStatus.usage
        case is StartupFailed: ExitStatus.applicationFailed
        default: ExitStatus.failed
        }
    }
}
