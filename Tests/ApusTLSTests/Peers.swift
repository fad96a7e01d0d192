import ApusTLS

/// A client and a server back to back, without a socket.
final class Peers {
    let server: TLSSession
    let client: TLSSession

    init(server: TLSContext, client: TLSContext, resuming resumption: TLSResumption? = nil) throws {
        self.server = try TLSSession(context: server)
        self.client = try TLSSession(context: client, serverName: "localhost", resuming: resumption)
    }

    /// Peers with a certificate by its name, the client trusting it.
    convenience init(
        certificate: String = "ecdsa",
        resuming resumption: TLSResumption? = nil,
        configure: (_ server: inout TLSConfiguration, _ client: inout TLSConfiguration) -> Void = { _, _ in }
    ) throws {
        var server = try TLSConfiguration.server(.test(certificate))
        var client = try TLSConfiguration.trusting("\(certificate).pem")
        configure(&server, &client)
        try self.init(
            server: TLSContext(configuration: server),
            client: TLSContext(configuration: client),
            resuming: resumption
        )
    }

    /// Carries everything in both directions, `step` bytes at a time, until both are silent.
    func exchange(step: Int = .max) throws -> (atServer: [UInt8], atClient: [UInt8]) {
        var atServer: [UInt8] = []
        var atClient: [UInt8] = []
        while client.hasOutput || server.hasOutput {
            atServer += try server.take(client.flush(), step: step)
            atClient += try client.take(server.flush(), step: step)
        }
        return (atServer, atClient)
    }
}

extension TLSSession {
    /// Takes all pending output.
    func flush() -> [UInt8] {
        let bytes = Array(pendingOutput)
        consumeOutput(bytes.count)
        return bytes
    }

    /// Receives bytes, `step` at a time; gives the plaintext.
    func take(_ bytes: [UInt8], step: Int = .max) throws -> [UInt8] {
        var plaintext: [UInt8] = []
        var rest = bytes[...]
        while !rest.isEmpty {
            let part = rest.prefix(step)
            rest = rest.dropFirst(part.count)
            let capacity = part.count + TLSSession.receiveHeadroom
            plaintext += try [UInt8](unsafeUninitializedCapacity: capacity) { buffer, count in
                count = try part.withUnsafeBytes { try receive($0, into: UnsafeMutableRawBufferPointer(buffer)) }
            }
        }
        return plaintext
    }

    func send(_ bytes: [UInt8]) throws {
        try bytes.withUnsafeBytes { try write($0) }
    }
}

extension TLSConfiguration.Identity {
    static func test(_ name: String) throws -> Self {
        let certificates = try Certificates.shared.get()
        return Self(certificateFile: certificates.path("\(name).pem"), keyFile: certificates.path("\(name).key"))
    }
}

extension TLSConfiguration {
    static func trusting(_ file: String) throws -> Self {
        var configuration = client()
        configuration.trustFile = try Certificates.shared.get().path(file)
        return configuration
    }
}

/// Bytes that differ from their neighbours.
func pattern(_ count: Int) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }
}
