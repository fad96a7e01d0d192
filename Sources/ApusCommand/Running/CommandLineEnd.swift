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
    /// Parses a command line.
    ///
    /// - Returns: The command that was chosen, with its options.
    package static func parsed(_ arguments: [String]) throws(CommandLineEnd) -> any ParsableCommand {
        do {
            return try parseAsRoot(arguments)
        } catch {
            throw commandLineEnd(for: error)
        }
    }

    /// What becomes of a command that is not one of ours, such as the parser's own for help.
    package static func end(running command: any ParsableCommand) -> CommandLineEnd {
        var command = command
        do {
            try command.run()
            return CommandLineEnd(text: "", code: 0)
        } catch {
            return commandLineEnd(for: error)
        }
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
