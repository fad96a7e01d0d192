import Hummingbird
import HummingbirdCore
import HummingbirdHTTP2
import HummingbirdTLS
import Logging
import NIOPosix
import NIOSSL

/// `hummingbird-hello PROTOCOL PORT CERTIFICATE KEY`: 13 bytes over h1, h1-tls, h2 or h2c, from one event loop.
@main
struct HummingbirdHello {
    struct Usage: Error {}

    static func main() async throws {
        let arguments = CommandLine.arguments
        guard arguments.count == 5, let port = Int(arguments[2]) else { throw Usage() }
        let router = Router()
        router.get("/") { _, _ in "Hello, World!" }
        var logger = Logger(label: "hummingbird-hello")
        logger.logLevel = .warning
        let application = Application(
            router: router,
            server: try server(of: arguments[1], certificate: arguments[3], key: arguments[4]),
            configuration: .init(address: .hostname("127.0.0.1", port: port)),
            eventLoopGroupProvider: .shared(MultiThreadedEventLoopGroup(numberOfThreads: 1)),
            logger: logger
        )
        try await application.runService()
    }

    private static func server(of name: String, certificate: String, key: String) throws -> HTTPServerBuilder {
        switch name {
        case "h1": .http1()
        case "h1-tls": try .tls(.http1(), tlsConfiguration: tls(certificate, key))
        case "h2": try .http2Upgrade(tlsConfiguration: tls(certificate, key))
        case "h2c": .plaintextHTTP2()
        default: throw Usage()
        }
    }

    private static func tls(_ certificate: String, _ key: String) throws -> TLSConfiguration {
        .makeServerConfiguration(
            certificateChain: try NIOSSLCertificate.fromPEMFile(certificate).map { .certificate($0) },
            privateKey: .privateKey(try NIOSSLPrivateKey(file: key, format: .pem))
        )
    }
}
