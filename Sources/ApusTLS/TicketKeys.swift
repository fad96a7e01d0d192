import COpenSSL
import Glibc

/// The keys of a server's session tickets, derived from a secret and the number of the clock's period.
///
/// The current period's keys seal tickets and open them; the previous period's open them too, and the client gets a
/// new ticket. Nothing is stored beside the secret: a derivation costs next to nothing in a handshake, and sessions on
/// all threads need no lock.
final class TicketKeys: Sendable {
    /// Seconds since 1970; a test brings its own.
    typealias Clock = @Sendable () -> Int

    /// For how long one set of keys seals tickets. Far longer than a ticket lives (the library's two hours): the
    /// previous period's keys open every ticket that is still of use.
    static let period = 8 * 3600

    /// What the secret is turned into; each with a label of its own, so that none tells of another.
    private enum Part: String {
        /// Goes in clear before the ticket and tells its reader which keys to take.
        case name = "apus ticket name"
        case encryption = "apus ticket encryption"
        case authentication = "apus ticket authentication"
    }

    private static let nameSize = 16
    /// Of AES-256 and of HMAC-SHA256, and what HMAC-SHA256 gives.
    private static let keySize = 32

    private let secret: TicketSecret
    private let clock: Clock

    init(_ secret: TicketSecret, clock: @escaping Clock) {
        self.secret = secret
        self.clock = clock
    }

    static let wallClock: Clock = { time(nil) }

    /// Lets a context's sessions use these keys; the context must keep them.
    func install(in context: OpaquePointer) -> Int32 {
        guard apus_ssl_ctx_set_app_data(context, Unmanaged.passUnretained(self).toOpaque()) == 1 else { return 0 }
        return Int32(SSL_CTX_set_tlsext_ticket_key_evp_cb(context, useTicketKeys))
    }

    fileprivate static func of(_ session: OpaquePointer?) -> TicketKeys? {
        guard let keys = apus_ssl_ctx_app_data(SSL_get_SSL_CTX(session)) else { return nil }
        return Unmanaged<TicketKeys>.fromOpaque(keys).takeUnretainedValue()
    }

    private var currentPeriod: Int { clock() / Self.period }

    // MARK: Use

    /// Writes the name of the current keys and a fresh vector, and sets up both algorithms.
    fileprivate func seal(
        name: UnsafeMutablePointer<UInt8>,
        vector: UnsafeMutablePointer<UInt8>,
        cipher: OpaquePointer,
        authentication: OpaquePointer
    ) -> Bool {
        let period = currentPeriod
        guard RAND_bytes(vector, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) == 1 else { return false }
        let isNamed = withPart(.name, of: period) { derived in
            name.update(from: derived, count: Self.nameSize)
            return true
        }
        return isNamed
            && withPart(.encryption, of: period) { EVP_EncryptInit_ex(cipher, EVP_aes_256_cbc(), nil, $0, vector) == 1 }
            && setUp(authentication, of: period)
    }

    enum Opening {
        case unknown
        case opened(isCurrent: Bool)
        case failed
    }

    /// Finds the keys that a ticket names and sets up both algorithms.
    fileprivate func open(
        name: UnsafePointer<UInt8>,
        vector: UnsafePointer<UInt8>,
        cipher: OpaquePointer,
        authentication: OpaquePointer
    ) -> Opening {
        let current = currentPeriod

        guard let period = [current, current - 1].first(where: { isName(name, of: $0) }) else { return .unknown }
        let isReady =
            withPart(.encryption, of: period) { EVP_DecryptInit_ex(cipher, EVP_aes_256_cbc(), nil, $0, vector) == 1 }
            && setUp(authentication, of: period)
        return isReady ? .opened(isCurrent: period == current) : .failed
    }

    private func isName(_ name: UnsafePointer<UInt8>, of period: Int) -> Bool {
        withPart(.name, of: period) { memcmp($0, name, Self.nameSize) == 0 }
    }

    private func setUp(_ authentication: OpaquePointer, of period: Int) -> Bool {
        withPart(.authentication, of: period) {
            apus_mac_set_hmac_sha256(authentication, $0, Self.keySize) == 1
        }
    }

    /// Derives a part of a period's keys for the length of a call; false where the library fails, or `body` does.
    private func withPart(_ part: Part, of period: Int, _ body: (UnsafePointer<UInt8>) -> Bool) -> Bool {
        let input = Array(part.rawValue.utf8) + (0..<8).map { UInt8(truncatingIfNeeded: period >> (56 - 8 * $0)) }
        return withUnsafeTemporaryAllocation(of: UInt8.self, capacity: Self.keySize) { derived in
            // Nothing of a key stays on the stack.
            defer { OPENSSL_cleanse(derived.baseAddress, derived.count) }
            guard let target = derived.baseAddress,
                HMAC(
                    EVP_sha256(),
                    secret.bytes,
                    Int32(secret.bytes.count),
                    input,
                    input.count,
                    target,
                    nil
                ) != nil
            else { return false }
            return body(target)
        }
    }
}

/// What the library calls for each ticket that it writes or reads.
///
/// - Returns: negative: the handshake fails; 0: no such keys, a full handshake follows; 1: go on; 2: go on, and send
///   a new ticket.
private func useTicketKeys(
    session: OpaquePointer?,
    name: UnsafeMutablePointer<UInt8>?,
    vector: UnsafeMutablePointer<UInt8>?,
    cipher: OpaquePointer?,
    authentication: OpaquePointer?,
    seals: Int32
) -> Int32 {
    guard let keys = TicketKeys.of(session), let name, let vector, let cipher, let authentication else { return -1 }
    guard seals == 0 else {
        return keys.seal(name: name, vector: vector, cipher: cipher, authentication: authentication) ? 1 : -1
    }
    switch keys.open(name: name, vector: vector, cipher: cipher, authentication: authentication) {
    case .unknown: return 0
    case .failed: return -1
    // RFC 8446 appendix C.4: a client of TLS 1.3 uses a ticket once, so it always gets the next one.
    case .opened(let isCurrent): return isCurrent && SSL_version(session) < TLS1_3_VERSION ? 1 : 2
    }
}
