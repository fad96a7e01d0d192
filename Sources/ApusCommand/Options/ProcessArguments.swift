import ArgumentParser

/// Worker processes, and when each is replaced; with the names of the peers' options where they have them.
struct WorkerArguments: ParsableArguments {
    @Option(
        name: [.short, .long],
        help: ArgumentHelp("Processes that serve, or auto (default: none).", valueName: "n")
    )
    var workers: String?

    @Option(help: ArgumentHelp("Room for more by SIGTTIN (default: cores).", valueName: "n"))
    var maxWorkers: String?

    @Option(help: ArgumentHelp("Time to answer the supervisor (default: 30).", valueName: "seconds"))
    var workerTimeout: String?

    @Option(
        name: [.long, .customLong("limit-max-requests")],
        help: ArgumentHelp("A worker's requests (default: 0, no end).", valueName: "count")
    )
    var maxRequests: String?

    @Option(
        name: [.long, .customLong("limit-max-requests-jitter")],
        help: ArgumentHelp("More of them, by chance (default: 0).", valueName: "count")
    )
    var maxRequestsJitter: String?

    @Option(
        name: [.long, .customLong("workers-lifetime")],
        help: ArgumentHelp("A worker's time (default: 0, no end).", valueName: "seconds")
    )
    var workerMaxAge: String?

    @Option(
        name: [.long, .customLong("workers-max-rss")],
        help: ArgumentHelp("A worker's memory, at least 64 (default: 0, no end).", valueName: "mib")
    )
    var workerMaxMemory: String?

    @Flag(inversion: .prefixedNo, help: "Keep each on a core of its own (default: no).")
    var pinWorkers: Bool?

    @Option(help: ArgumentHelp("Where 'apus status' asks, or none.", valueName: "path"))
    var statusSocket: String?

    init() {}
}

/// The process among others of the machine.
struct ProcessArguments: ParsableArguments {
    @Option(name: [.short, .long], help: ArgumentHelp("Who serves, once ports are bound.", valueName: "name"))
    var user: String?

    @Option(name: [.short, .long], help: ArgumentHelp("Its group (default: the user's own).", valueName: "name"))
    var group: String?

    @Option(
        name: [.short, .long, .customLong("pid-file")],
        help: ArgumentHelp("Where the process's number is written.", valueName: "file")
    )
    var pid: String?

    @Flag(help: "Look at everything, and start nothing.")
    var check = false

    init() {}
}
