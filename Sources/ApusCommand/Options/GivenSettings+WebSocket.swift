import Apus

extension GivenSettings {
    /// Whether and how WebSockets are served.
    func webSocket() throws(ConfigurationError) -> WebSocketOptions {
        let given = options.webSocket
        var webSocket = WebSocketOptions()
        webSocket.isEnabled = try setting(given.ws, "ws")?.isOn() ?? webSocket.isEnabled
        webSocket.allowedOrigins = try allowedOrigins()
        webSocket.perMessageDeflate =
            try setting(given.wsPerMessageDeflate, "ws-per-message-deflate")?.isOn() ?? webSocket.perMessageDeflate
        webSocket.maxCompressionMemory =
            try setting(given.wsCompressionMemory, "ws-compression-memory")?.number(from: 0)
            ?? webSocket.maxCompressionMemory
        try setSizes(of: &webSocket)
        try setTimes(of: &webSocket)
        return webSocket
    }

    /// Nil where none is given: all may.
    private func allowedOrigins() throws(ConfigurationError) -> [String]? {
        var origins: [String] = []
        for origin in list(options.webSocket.wsAllowedOrigin, "ws-allowed-origin") {
            origins.append(try origin.origin())
        }
        return origins.isEmpty ? nil : origins
    }

    private func setSizes(of webSocket: inout WebSocketOptions) throws(ConfigurationError) {
        let given = options.webSocket
        let messageSize = try setting(given.wsMaxSize, "ws-max-size")?.number(from: 1)
        webSocket.maxMessageSize = messageSize ?? webSocket.maxMessageSize
        // Most clients send a message as one frame: who allows larger messages means those too.
        webSocket.maxFrameSize =
            try setting(given.wsMaxFrameSize, "ws-max-frame-size")?.number(from: 1)
            ?? messageSize ?? webSocket.maxFrameSize
        webSocket.maxFragments =
            try setting(given.wsMaxFragments, "ws-max-fragments")?.number(from: 1) ?? webSocket.maxFragments
        webSocket.maxQueuedMessages =
            try setting(given.wsMaxQueue, "ws-max-queue")?.number(from: 1) ?? webSocket.maxQueuedMessages
        webSocket.maxConnections =
            try setting(given.wsMaxConnections, "ws-max-connections")?.number(from: 1) ?? webSocket.maxConnections
    }

    private func setTimes(of webSocket: inout WebSocketOptions) throws(ConfigurationError) {
        let given = options.webSocket
        let pingInterval = setting(given.wsPingInterval, "ws-ping-interval", "websocket-ping-interval")
        try set(&webSocket.pingInterval, to: pingInterval)
        try set(&webSocket.pingTimeout, to: setting(given.wsPingTimeout, "ws-ping-timeout"))
        webSocket.closeTimeout =
            try setting(given.wsCloseTimeout, "ws-close-timeout")?.seconds() ?? webSocket.closeTimeout
        try set(&webSocket.idleTimeout, to: setting(given.wsIdleTimeout, "ws-idle-timeout"))
        try set(&webSocket.maxAge, to: setting(given.wsMaxAge, "ws-max-age"))
    }

    /// Sets a time that need not be: 0 is none.
    private func set(_ time: inout Double?, to setting: Setting?) throws(ConfigurationError) {
        guard let seconds = try setting?.seconds() else { return }
        time = seconds > 0 ? seconds : nil
    }
}
