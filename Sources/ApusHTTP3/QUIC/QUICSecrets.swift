/// What all workers of a server must share so that each can speak for the others' connections.
package struct QUICSecrets: Sendable {
    /// Where stateless reset tokens (and address tokens) come from: 32 bytes.
    package let staticSecret: [UInt8]
    /// Turns the first word of a connection ID into a slot.
    package let steeringKey: UInt32
    /// Proves that a connection ID is ours: 16 bytes.
    package let connectionIDKey: [UInt8]

    /// - Precondition: `staticSecret` has 32 bytes, `connectionIDKey` 16.
    package init(staticSecret: [UInt8], steeringKey: UInt32, connectionIDKey: [UInt8]) {
        precondition(staticSecret.count == 32, "the static secret has 32 bytes")
        precondition(connectionIDKey.count == 16, "the key of connection IDs has 16 bytes")
        self.staticSecret = staticSecret
        self.steeringKey = steeringKey
        self.connectionIDKey = connectionIDKey
    }

    /// Fresh secrets.
    package static func random() -> QUICSecrets {
        func bytes(_ count: Int) -> [UInt8] {
            [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
                fillRandom(UnsafeMutableRawBufferPointer(buffer))
                initialized = count
            }
        }
        let word = bytes(4).reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        return QUICSecrets(staticSecret: bytes(32), steeringKey: word | 1, connectionIDKey: bytes(16))
    }
}
