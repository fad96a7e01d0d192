import ApusCommand
import ArgumentParser

/// `apus status`.
struct Status: Subcommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Tells how the servers of this user are, and each of their workers.",
        discussion: """
            Asks every server with --workers that this user runs, or the one whose --status-socket is named. Exit codes: 0 \
            where one has answered, 1 where none has.
            """
    )

    @Option(help: ArgumentHelp("The server to ask (default: all).", valueName: "path"))
    var statusSocket: String?

    @Flag(help: "Print what each says as JSON, one a line.")
    var json = false

    func exitStatus() async -> Int32 {
        let outcome = ServerStatus.ask(statusSocket, asJSON: json, environment: ApusEnvironment())
        for line in outcome.lines { print(line) }
        for error in outcome.errors { StandardError.writeLine("Error: \(error)") }
        return outcome.code
    }
}
