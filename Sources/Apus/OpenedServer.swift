/// What a server opens before there has to be an application: its certificate, then its sockets.
package struct OpenedServer: Sendable {
    let secrets: ServerSecrets
    let identity: ServerIdentity?
    let sockets: ServerSockets

    /// - Throws: ``ConfigurationError`` before any port is opened, ``BindError``.
    package static func open(_ configuration: Configuration) throws -> OpenedServer {
        try open(configuration, .random())
    }

    static func open(_ configuration: Configuration, _ secrets: ServerSecrets) throws -> OpenedServer {
        OpenedServer(
            secrets: secrets,
            identity: try ServerIdentity.load(configuration, secrets),
            sockets: try ServerSockets.open(configuration, slotCount: configuration.loops)
        )
    }
}
