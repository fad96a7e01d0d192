import CGnuTLS
import CNgtcp2
import Glibc

/// Why a certificate and its key cannot be used; one sentence, never with the password in it.
package struct QUICCredentialError: Error, CustomStringConvertible, Sendable {
    package let description: String

    init(_ description: String) {
        self.description = description
    }
}

/// A server's certificate chain and key for TLS in QUIC, and what all sessions share beside them.
///
/// Immutable once made: GnuTLS reads credentials, priorities and the ticket key from any number of sessions.
package final class QUICServerCredentials: @unchecked Sendable {
    // TLS 1.3 only; AES-128-GCM first, because GnuTLS takes 14 times as long for ChaCha20-Poly1305.
    private static let priorityText =
        "NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+AES-128-GCM:+AES-256-GCM:+CHACHA20-POLY1305"
        + ":-GROUP-ALL:+GROUP-X25519:+GROUP-SECP256R1:+GROUP-SECP384R1"
        + ":%SERVER_PRECEDENCE:%DISABLE_TLS13_COMPAT_MODE"

    /// As long as the keys that GnuTLS makes; it takes no other size.
    package static let ticketKeySize = 64

    // Confined to this object but for reads by sessions, which keep it alive.
    let certificate: gnutls_certificate_credentials_t
    let priority: gnutls_priority_t
    let ticketKey: [UInt8]

    /// Reads a certificate chain and its key from PEM files.
    ///
    /// - Parameters:
    ///   - password: For an encrypted key.
    ///   - ticketKey: What the keys of session tickets are derived from, where several workers must understand each
    ///     other's, ``ticketKeySize`` bytes; else fresh bytes. GnuTLS changes the derived keys with the clock, at the
    ///     same moment wherever the bytes are the same, and opens tickets of the period before too.
    package init(
        certificateFile: String,
        keyFile: String,
        password: String? = nil,
        ticketKey: [UInt8]? = nil
    ) throws(QUICCredentialError) {
        guard ticketKey.map({ $0.count == Self.ticketKeySize }) ?? true else {
            throw QUICCredentialError("a ticket key has \(Self.ticketKeySize) bytes")
        }
        let chain = try Self.contents(of: certificateFile, what: "certificate")
        let key = try Self.contents(of: keyFile, what: "key")
        var priority: gnutls_priority_t?
        guard gnutls_priority_init(&priority, Self.priorityText, nil) == 0, let priority else {
            throw QUICCredentialError("this GnuTLS does not offer what QUIC needs (TLS 1.3)")
        }
        var certificate: gnutls_certificate_credentials_t?
        guard gnutls_certificate_allocate_credentials(&certificate) == 0, let certificate else {
            gnutls_priority_deinit(priority)
            throw QUICCredentialError("no memory for the certificate")
        }
        let status = Self.load(chain, key, password, into: certificate)
        guard status >= 0 else {
            gnutls_certificate_free_credentials(certificate)
            gnutls_priority_deinit(priority)
            throw Self.explain(status, certificateFile, keyFile, password)
        }
        self.certificate = certificate
        self.priority = priority
        self.ticketKey = ticketKey ?? Self.freshTicketKey()
    }

    deinit {
        gnutls_certificate_free_credentials(certificate)
        gnutls_priority_deinit(priority)
    }

    private static func contents(of path: String, what: String) throws(QUICCredentialError) -> [UInt8] {
        guard let file = fopen(path, "re") else {
            let reason = String(cString: strerror(errno))
            throw QUICCredentialError("cannot read the \(what) file \(path): \(reason)")
        }
        defer { fclose(file) }
        // Far more than any chain of certificates takes.
        let bound = 4 * 1024 * 1024
        let bytes = [UInt8](unsafeUninitializedCapacity: bound) { buffer, count in
            count = fread(buffer.baseAddress, 1, bound, file)
        }
        guard ferror(file) == 0, !bytes.isEmpty else {
            throw QUICCredentialError("cannot read the \(what) file \(path): it is empty or not a file")
        }
        return Array(bytes)
    }

    private static func load(
        _ chain: [UInt8],
        _ key: [UInt8],
        _ password: String?,
        into credentials: gnutls_certificate_credentials_t
    ) -> Int32 {
        var chain = chain
        var key = key
        return chain.withUnsafeMutableBufferPointer { chain in
            key.withUnsafeMutableBufferPointer { key in
                var chain = gnutls_datum_t(data: chain.baseAddress, size: UInt32(chain.count))
                var key = gnutls_datum_t(data: key.baseAddress, size: UInt32(key.count))
                return gnutls_certificate_set_x509_key_mem2(
                    credentials,
                    &chain,
                    &key,
                    GNUTLS_X509_FMT_PEM,
                    password,
                    0
                )
            }
        }
    }

    private static func freshTicketKey() -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: ticketKeySize) { buffer, count in
            fillRandom(UnsafeMutableRawBufferPointer(buffer))
            count = ticketKeySize
        }
    }

    private static func explain(
        _ status: Int32,
        _ certificateFile: String,
        _ keyFile: String,
        _ password: String?
    ) -> QUICCredentialError {
        switch status {
        case GNUTLS_E_DECRYPTION_FAILED where password == nil:
            return QUICCredentialError("the key file \(keyFile) is encrypted and no password was given")
        case GNUTLS_E_DECRYPTION_FAILED:
            return QUICCredentialError("the password does not open the key file \(keyFile)")
        case GNUTLS_E_CERTIFICATE_KEY_MISMATCH:
            return QUICCredentialError("the key in \(keyFile) does not belong to the certificate in \(certificateFile)")
        default:
            let reason = String(cString: gnutls_strerror(status))
            return QUICCredentialError(
                "the certificate \(certificateFile) with the key \(keyFile) is no use: \(reason)"
            )
        }
    }
}
