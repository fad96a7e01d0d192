import ArgumentParser
import Glibc

/// An application that is a program: marked with `@main`, its executable is a server with all of ``ServeOptions``.
///
/// ```swift
/// import ApusCommand
///
/// @main
/// struct Hello: MainApplication {
///     func callAsFunction(_ scope: Scope, _ receive: Receive, _ send: Send) async throws {
///         guard case .http(let request) = scope else { return }
///         try await send(.responseStart(status: 200, headers: ["content-type": "text/plain"]))
///         try await send(.responseBody("Hello over HTTP/\(request.httpVersion)\n"))
///     }
/// }
/// ```
///
/// An application that needs arguments has a command of its own with ``ServeOptions`` as an option group.
public protocol MainApplication: Application {
    /// Makes the application, in a process that is about to serve it: ports are bound, and rights given up.
    ///
    /// An error is written to standard error, and the process ends with code 3.
    init() async throws
}

extension MainApplication {
    /// Reads the command line, serves until told to stop, and ends the process.
    // Concurrent, so that the main thread stays free for the main actor (and because `@main` takes no caller-isolated
    // function from another module).
    @concurrent
    public static func main() async {
        do throws(CommandLineEnd) {
            let command = try MainCommand.parsed(Array(CommandLine.arguments.dropFirst()), as: MainCommand.self)
            exit(await command.options.exitStatus { try await Self() })
        } catch {
            error.exit()
        }
    }
}

/// The command line of a program that is one application.
struct MainCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: CommandLine.arguments.first?.split(separator: "/").last.map { String($0) },
        abstract: "Serves this application over HTTP/1.1, HTTP/2 and HTTP/3.",
        discussion: ServeOptions.discussion,
        version: "Apus \(Version.text)"
    )

    @OptionGroup var options: ServeOptions
}
