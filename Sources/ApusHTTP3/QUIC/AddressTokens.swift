import ApusHTTP
import CGnuTLS
import CNgtcp2

/// Tokens by which clients prove that their address is theirs: those of Retry packets and of NEW_TOKEN frames
/// (RFC 9000 §8.1).
///
/// Whoever has the secret reads them: any worker, and its successors. Their key is that of a period of the wall clock, so
/// that all workers change it together without a word; the key of the period before is understood, too.
struct AddressTokens {
    /// What the token of an Initial packet says.
    enum Proof {
        /// Nothing: there is none, or none of ours.
        case none
        /// The client has answered a Retry packet; this is the ID that it had chosen before.
        case retried(original: ngtcp2_cid)
        /// The client's host was here before.
        case known
        /// A Retry packet's, but of another address, or too old.
        case invalid
    }

    // ngtcp2's macros for these do not reach Swift: a byte for the kind, a tag of 16 bytes and 16 that are random; a
    // Retry token has an address, an ID with its length and the time between them, a NEW_TOKEN only the time.
    private static let retryCapacity = 1 + MemoryLayout<ngtcp2_sockaddr_union>.size + 1 + 20 + 8 + 16 + 16
    private static let regularCapacity = 1 + 8 + 16 + 16

    private let secret: [UInt8]
    private let wallClock: @Sendable () -> UInt64
    private let retryLifetime: UInt64
    private let regularLifetime: UInt64
    private let periodLength: UInt64
    private var keys: Keys

    private struct Keys {
        let period: UInt64
        let current: [UInt8]
        let previous: [UInt8]?
    }

    init(configuration: QUICConfiguration) {
        secret = configuration.secrets.tokenSecret
        wallClock = configuration.wallClock
        retryLifetime = Self.lifetime(configuration.retryTokenLifetime)
        regularLifetime = Self.lifetime(configuration.addressTokenLifetime)
        periodLength = max(1, TimeSpan.seconds(configuration.tokenKeyPeriod).nanoseconds)
        keys = Self.keys(of: configuration.wallClock() / periodLength, secret)
    }

    /// Bounded so that no sum with a time overflows.
    private static func lifetime(_ seconds: Double) -> UInt64 {
        min(TimeSpan.seconds(seconds).nanoseconds, UInt64.max / 2)
    }

    // MARK: Tokens for clients

    /// A token for a Retry packet: of use from this address and port only, and only with the new ID.
    mutating func retryToken(for remote: SocketAddress, header: ngtcp2_pkt_hd, newID: ngtcp2_cid) -> [UInt8] {
        let now = turnKeys()
        var newID = newID
        var original = header.dcid
        return token(upTo: Self.retryCapacity, for: remote) { target, address, length in
            ngtcp2_crypto_generate_retry_token2(
                target,
                keys.current,
                keys.current.count,
                header.version,
                address,
                length,
                &newID,
                &original,
                now
            )
        }
    }

    /// A token for a NEW_TOKEN frame: of use from this address, whatever the port.
    mutating func newToken(for remote: SocketAddress) -> [UInt8] {
        let now = turnKeys()
        return token(upTo: Self.regularCapacity, for: remote) { target, address, length in
            ngtcp2_crypto_generate_regular_token(target, keys.current, keys.current.count, address, length, now)
        }
    }

    private func token(
        upTo capacity: Int,
        for remote: SocketAddress,
        _ generate: (UnsafeMutablePointer<UInt8>?, UnsafePointer<sockaddr>, ngtcp2_socklen) -> ngtcp2_ssize
    ) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: capacity) { buffer, count in
            count = max(0, remote.withSockAddr { generate(buffer.baseAddress, $0, $1) })
        }
    }

    // MARK: Tokens of clients

    /// What an Initial packet's token proves of the address from which it came.
    mutating func proof(in header: ngtcp2_pkt_hd, from remote: SocketAddress) -> Proof {
        guard header.tokenlen > 0, let kind = header.token?.pointee else { return .none }
        let now = turnKeys()
        switch Int32(kind) {
        case NGTCP2_CRYPTO_TOKEN_MAGIC_RETRY2:
            let proof = retryProof(header, remote, keys.current, now)
            guard case .none = proof, let previous = keys.previous else { return proof }
            return retryProof(header, remote, previous, now)
        case NGTCP2_CRYPTO_TOKEN_MAGIC_REGULAR:
            guard !isKnown(header, remote, keys.current, now) else { return .known }
            guard let previous = keys.previous else { return .none }
            return isKnown(header, remote, previous, now) ? .known : .none
        default:
            return .none
        }
    }

    private func retryProof(
        _ header: ngtcp2_pkt_hd,
        _ remote: SocketAddress,
        _ key: [UInt8],
        _ now: UInt64
    ) -> Proof {
        var original = ngtcp2_cid()
        var newID = header.dcid
        let status = remote.withSockAddr { address, length in
            ngtcp2_crypto_verify_retry_token2(
                &original,
                header.token,
                header.tokenlen,
                key,
                key.count,
                header.version,
                address,
                length,
                &newID,
                retryLifetime,
                now
            )
        }
        switch status {
        case 0: return .retried(original: original)
        case NGTCP2_CRYPTO_ERR_VERIFY_TOKEN: return .invalid
        default: return .none
        }
    }

    private func isKnown(_ header: ngtcp2_pkt_hd, _ remote: SocketAddress, _ key: [UInt8], _ now: UInt64) -> Bool {
        remote.withSockAddr { address, length in
            ngtcp2_crypto_verify_regular_token(
                header.token,
                header.tokenlen,
                key,
                key.count,
                address,
                length,
                regularLifetime,
                now
            )
        } == 0
    }

    // MARK: Keys

    /// Changes the keys with the period; the time by the wall clock.
    private mutating func turnKeys() -> UInt64 {
        let now = wallClock()
        let period = now / periodLength
        if period != keys.period { keys = Self.keys(of: period, secret) }
        return now
    }

    private static func keys(of period: UInt64, _ secret: [UInt8]) -> Keys {
        Keys(
            period: period,
            current: key(of: period, secret),
            previous: period == 0 ? nil : key(of: period - 1, secret)
        )
    }

    private static func key(of period: UInt64, _ secret: [UInt8]) -> [UInt8] {
        let label = Array("apus address token key".utf8) + (0..<8).map { UInt8(truncatingIfNeeded: period >> ($0 * 8)) }
        return [UInt8](unsafeUninitializedCapacity: 32) { buffer, count in
            let status = gnutls_hmac_fast(
                GNUTLS_MAC_SHA256,
                secret,
                secret.count,
                label,
                label.count,
                buffer.baseAddress
            )
            // It fails only where GnuTLS has no SHA-256; TLS 1.3 could not be spoken either.
            precondition(status == 0, "GnuTLS knows HMAC-SHA256")
            count = 32
        }
    }
}
