import CGnuTLS

/// What all workers of a server must share so that each can speak for the others' connections.
///
/// None of it changes while the server runs, because connections outlive every period; only the keys of address tokens,
/// which are derived from ``tokenSecret``, do. No description shows any of it.
package struct QUICSecrets: Hashable, Sendable {
    /// The size of ``encoded``.
    package static let encodedLength = 32 + 4 + 16 + 32

    /// Where stateless reset tokens come from: 32 bytes.
    package let staticSecret: [UInt8]
    /// Turns the first word of a connection ID into a slot; odd.
    package let steeringKey: UInt32
    /// Proves that a connection ID is ours: 16 bytes.
    package let connectionIDKey: [UInt8]
    /// Where the keys of Retry and NEW_TOKEN tokens come from: 32 bytes.
    package let tokenSecret: [UInt8]

    /// - Precondition: `staticSecret` and `tokenSecret` have 32 bytes, `connectionIDKey` 16.
    package init(staticSecret: [UInt8], steeringKey: UInt32, connectionIDKey: [UInt8], tokenSecret: [UInt8]) {
        precondition(staticSecret.count == 32, "the static secret has 32 bytes")
        precondition(connectionIDKey.count == 16, "the key of connection IDs has 16 bytes")
        precondition(tokenSecret.count == 32, "the secret of tokens has 32 bytes")
        self.staticSecret = staticSecret
        // An odd key makes the product of the steering a bijection of the word.
        self.steeringKey = steeringKey | 1
        self.connectionIDKey = connectionIDKey
        self.tokenSecret = tokenSecret
    }

    /// Fresh secrets.
    package static func random() -> QUICSecrets {
        let bytes = [UInt8](unsafeUninitializedCapacity: encodedLength) { buffer, count in
            // These live as long as the server: of the quality that GnuTLS keeps for keys.
            fillRandom(UnsafeMutableRawBufferPointer(buffer), quality: GNUTLS_RND_KEY)
            count = encodedLength
        }
        guard let secrets = QUICSecrets(encoded: bytes) else { preconditionFailure("any bytes are secrets") }
        return secrets
    }

    // MARK: For the workers

    /// The secrets as bytes, for a channel that nobody else reads.
    package var encoded: [UInt8] {
        let word = (0..<4).map { UInt8(truncatingIfNeeded: steeringKey >> (24 - 8 * UInt32($0))) }
        return staticSecret + word + connectionIDKey + tokenSecret
    }

    /// Reads what ``encoded`` gave; nil where the length is another.
    package init?(encoded bytes: [UInt8]) {
        guard bytes.count == Self.encodedLength else { return nil }
        self.init(
            staticSecret: Array(bytes[0..<32]),
            steeringKey: bytes[32..<36].reduce(UInt32(0)) { $0 << 8 | UInt32($1) },
            connectionIDKey: Array(bytes[36..<52]),
            tokenSecret: Array(bytes[52..<84])
        )
    }
}

extension QUICSecrets: CustomStringConvertible, CustomReflectable {
    package var description: String { "QUICSecrets" }
    package var customMirror: Mirror { Mirror(self, children: []) }
}
