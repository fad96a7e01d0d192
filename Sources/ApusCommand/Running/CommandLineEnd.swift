import ArgumentParser
import Glibc

/// A command line that ends the program before it has begun: help, the version, or what is wrong with it.
package struct CommandLineEnd: Error {
    /// What is printed.
    package let text: String
    /// 0 for what was asked for, and 2 for a mistake.
    package let code: Int32

    /// Prints the text where it belongs and ends the process.
    package func exit() -> Never {
        if code == 0 { print(text) } else { StandardError.writeLine(text) }
        Glibc.exit(code)
    }
}

extension ParsableCommand {
    /// Parses a command line of this command for one of its subcommands, for one of several kinds, or for itself.
    ///
    /// Any other that is chosen, such as the parser's own for help, is run to its end.
    package static func parsed<Chosen>(
        _ arguments: [String],
        as type: Chosen.Type
    ) throws(CommandLineEnd) -> Chosen {
        do {
            var command = try parseAsRoot(arguments)
            if let chosen = command as? Chosen { return chosen }
            try command.run()
        } catch {
            throw commandLineEnd(for: error)
        }
        throw CommandLineEnd(text: "", code: ExitStatus.stopped)
    }

    private static func commandLineEnd(for error: any Error) -> CommandLineEnd {
        CommandLineEnd(text: fullMessage(for: error), code: exitCode(for: error).isSuccess ? 0 : ExitStatus.usage)
    }
}

/// The exit codes of a server.
package enum ExitStatus {
    /// It drained and stopped.
    package static let stopped: Int32 = 0
    /// Something failed that nobody had thought of.
    package static let failed: Int32 = 1
    /// The options, the environment, a file or a port: nothing was started.
    package static let usage: Int32 = 2
    /// The application could not start.
    package static let applicationFailed: Int32 = 3
}
