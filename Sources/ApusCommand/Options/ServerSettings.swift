import Apus
import Logging

/// What the options and the environment come to.
public struct ServerSettings: Sendable {
    public var configuration: Configuration
    /// From which level on is logged.
    public var logLevel: Logger.Level
    /// Processes: workers, accounts, files.
    public var supervisor = SupervisorSettings()
}

extension ServeOptions {
    /// Puts the options, the environment and the defaults together.
    ///
    /// - Parameters:
    ///   - environment: The variables; those of the process by default.
    ///   - developmentCertificate: Finds or makes the certificate of `--dev-cert`; called only where it is wanted.
    /// - Throws: A ``ConfigurationError`` that names the option or variable.
    public func settings(
        environment: ApusEnvironment = ApusEnvironment(),
        developmentCertificate: () throws(ConfigurationError) -> Configuration.TLS = DevelopmentCertificate.prepare
    ) throws(ConfigurationError) -> ServerSettings {
        let given = GivenSettings(options: self, environment: environment)
        var configuration = Configuration()
        // What can be refused is, before a certificate is made for it.
        configuration.rootPath = try given.rootPath?.mountPath() ?? configuration.rootPath
        configuration.gracefulTimeout = try given.gracefulTimeout?.seconds() ?? configuration.gracefulTimeout
        configuration.altSvcPort = try given.altSvcPort?.port(from: 1)
        configuration.accessLog = try given.accessLog?.isOn() ?? configuration.accessLog
        configuration.serverHeader = try given.serverHeader?.isOn() ?? configuration.serverHeader
        configuration.dateHeader = try given.dateHeader?.isOn() ?? configuration.dateHeader
        configuration.limits.keepAliveTimeout = try given.keepAlive?.seconds() ?? configuration.limits.keepAliveTimeout
        configuration.webSocket = try given.webSocket()
        let supervisor = try given.supervisor()
        let logLevel = try given.logLevel?.logLevel() ?? .info
        let certificate = try given.certificate()
        configuration.binds = try given.binds(isSecure: certificate != .none)
        configuration.insecureBinds = try given.insecureBinds(isSecure: certificate != .none)
        configuration.protocols = try given.protocols(
            isSecure: certificate != .none,
            binds: configuration.binds,
            insecureBinds: configuration.insecureBinds
        )
        configuration.quicRetry = try given.quicRetry(isSecure: certificate != .none, configuration.protocols)
        configuration.unixSocket = try given.unixSocket(configuration.binds + configuration.insecureBinds)
        switch certificate {
        case .none: break
        case .files(let certificateFile, let keyFile, let password):
            configuration.tls = Configuration.TLS(
                certificateFile: certificateFile,
                keyFile: keyFile,
                keyPassword: password
            )
        case .development: configuration.tls = try developmentCertificate()
        }
        return ServerSettings(configuration: configuration, logLevel: logLevel, supervisor: supervisor)
    }
}
