import ArgumentParser

/// Whether and how WebSockets are served, with the names of uvicorn's options where it has them.
struct WebSocketArguments: ParsableArguments {
    @Flag(inversion: .prefixedNo, help: "Serve WebSockets (default: yes).")
    var ws: Bool?

    @Option(help: ArgumentHelp("Whose pages may open one; repeatable (default: all).", valueName: "origin"))
    var wsAllowedOrigin: [String] = []

    @Flag(inversion: .prefixedNo, help: "Agree to compression (default: yes).")
    var wsPerMessageDeflate: Bool?

    @Option(help: ArgumentHelp("Memory for one's compression (default: 131072).", valueName: "bytes"))
    var wsCompressionMemory: String?

    @Option(help: ArgumentHelp("The largest message (default: 16777216).", valueName: "bytes"))
    var wsMaxSize: String?

    @Option(help: ArgumentHelp("The largest frame (default: as --ws-max-size).", valueName: "bytes"))
    var wsMaxFrameSize: String?

    @Option(help: ArgumentHelp("Frames in a message (default: 131072).", valueName: "count"))
    var wsMaxFragments: String?

    @Option(help: ArgumentHelp("Messages that may wait (default: 32).", valueName: "count"))
    var wsMaxQueue: String?

    @Option(help: ArgumentHelp("WebSockets at a time (default: 100000).", valueName: "count"))
    var wsMaxConnections: String?

    @Option(
        name: [.long, .customLong("websocket-ping-interval")],
        help: ArgumentHelp("Time between pings, 0 for none (default: 20).", valueName: "seconds")
    )
    var wsPingInterval: String?

    @Option(help: ArgumentHelp("Time for a pong, 0 for ever (default: 20).", valueName: "seconds"))
    var wsPingTimeout: String?

    @Option(help: ArgumentHelp("Time to answer a close (default: 10).", valueName: "seconds"))
    var wsCloseTimeout: String?

    @Option(help: ArgumentHelp("Time without a message (default: 0, no end).", valueName: "seconds"))
    var wsIdleTimeout: String?

    @Option(help: ArgumentHelp("Time that one may be open (default: 0, no end).", valueName: "seconds"))
    var wsMaxAge: String?

    init() {}
}
