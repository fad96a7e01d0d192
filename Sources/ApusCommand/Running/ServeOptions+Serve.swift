import Apus
import ApusGateway
import ApusTransport
import ArgumentParser
import Logging

extension ServeOptions {
    /// Serves an application until the process is told to stop: settings, logs, signals, workers and the banner.
    ///
    /// SIGINT and SIGTERM let requests finish, as long as `--graceful-timeout` says; a second signal ends the process at
    /// once with code 130 or 143.
    ///
    /// - Parameter application: Makes the application. Evaluated only in a process that serves, once ports are bound,
    ///   certificates are read and rights are given up: with `--workers` that is each of the workers.
    /// - Throws: `ExitCode`, after the reason was written to standard error: 2 for settings, files and ports, 3 for an
    ///   application that cannot start, 1 for anything else.
    public func serve(_ application: @autoclosure () async throws -> any Application) async throws {
        let code = await exitStatus { try await application() }
        if code != ExitStatus.stopped { throw ExitCode(code) }
    }

    /// Serves an application; says why on standard error where it ends with another code than 0.
    package func exitStatus(serving application: () async throws -> any Application) async -> Int32 {
        Descriptors.fillStandard()
        Descriptors.raiseLimit()
        do {
            return try await run(application)
        } catch {
            StandardError.writeLine("Error: \(error)")
            return Self.exitStatus(for: error)
        }
    }

    private func run(_ application: () async throws -> any Application) async throws -> Int32 {
        let part = ProcessPart.take(isCheck: isCheck)
        let environment = ProcessEnvironment.variables()
        let settings = try settings()
        if isCheck {
            try await SettingsCheck.run(settings, part, application)
            return ExitStatus.stopped
        }
        switch part {
        case .worker(let control):
            try await WorkerProcess.serve(application, settings, control: control)
        case .successor(let state):
            return try await SupervisorProcess.successor(of: state, settings, environment).run()
        case .stranger:
            throw HandoverError()
        case .first where settings.supervisor.workers != nil:
            return try await SupervisorProcess.fresh(settings, environment).run()
        case .first:
            try await SingleProcess.serve(application, settings, environment)
        }
        return ExitStatus.stopped
    }

    static func exitStatus(for error: any Error) -> Int32 {
        switch error {
        case is ConfigurationError, is BindError, is HandoverError: ExitStatus.usage
        case is StartupFailed, is ApplicationFailed: ExitStatus.applicationFailed
        default: ExitStatus.failed
        }
    }
}

/// The application could not even be made.
struct ApplicationFailed: Error, CustomStringConvertible {
    let error: any Error

    var description: String { "\(error)" }

    /// Makes the application.
    ///
    /// - Throws: A `ConfigurationError` as it is, for an application that is only named in a wrong way.
    static func check(_ application: () async throws -> any Application) async throws -> any Application {
        do {
            return try await application()
        } catch let error as ConfigurationError {
            throw error
        } catch {
            throw ApplicationFailed(error: error)
        }
    }
}

/// An executable cannot take the place of the one before it.
struct HandoverError: Error, CustomStringConvertible {
    var description: String { "the state of the running supervisor is of another version, and cannot be taken over" }
}
