import CApusShims

/// What `ps` and `top` show of the process.
package enum ProcessTitle {
    /// Shows a text in place of the command line, as much of it as the command line has room for, and as the name of the
    /// main thread, of which the kernel keeps 15 bytes. To be called before the process gives up its rights.
    package static func set(_ title: String) {
        // They are read from where the title will be, the first time that somebody asks.
        _ = CommandLine.arguments
        apus_set_title(title)
    }
}
