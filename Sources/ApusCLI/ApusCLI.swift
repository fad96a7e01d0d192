import ApusCommand
import ArgumentParser
import Glibc

/// The command `apus`.
@main
struct ApusCLI: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "apus",
        abstract: "An application server for HTTP/1.1, HTTP/2 and HTTP/3.",
        version: "Apus \(Version.text)",
        subcommands: [Serve.self, Status.self]
    )

    static func main() async {
        do throws(CommandLineEnd) {
            let command = try parsed(Array(CommandLine.arguments.dropFirst()), as: (any Subcommand).self)
            Glibc.exit(await command.exitStatus())
        } catch {
            error.exit()
        }
    }
}

/// What `apus` can do.
protocol Subcommand: ParsableCommand {
    /// Does it, and tells the process's exit code.
    func exitStatus() async -> Int32
}

/// `apus serve APP`.
struct Serve: Subcommand {
    static let configuration = CommandConfiguration(
        commandName: "serve",
        abstract: "Serves one of the built-in applications.",
        discussion: """
            hello      'Hello, World!'
            echo       the request body and trailers, streamed back
            stream     ?bytes=N (1 MiB) in pieces of ?chunk=N (64 KiB)
            sse        server-sent events, one a second
            scope      what the application is told about the request, as JSON
            files:DIR  the files in a directory
            ws-echo    a WebSocket's messages, sent back
            ws-chat    a page to talk on, over a WebSocket

            \(ServeOptions.discussion)
            """
    )

    @Argument(help: ArgumentHelp("One of those above.", valueName: "app"))
    var application: String

    @OptionGroup var options: ServeOptions

    /// An unknown name is told with the usage; it is a mistake in the command line like others.
    func validate() throws {
        guard BuiltInApplication.isKnown(application) else {
            throw ValidationError("'\(application)' is not an application: \(BuiltInApplication.names)")
        }
    }

    func exitStatus() async -> Int32 {
        await options.exitStatus { try BuiltInApplication.make(application) }
    }
}
