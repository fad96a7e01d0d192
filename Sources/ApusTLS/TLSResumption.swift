import COpenSSL

/// What a client keeps of a session so that a later one is cheaper to open.
package final class TLSResumption {
    let handle: OpaquePointer

    /// Takes over the caller's reference.
    init(owning handle: OpaquePointer) {
        self.handle = handle
    }

    deinit {
        SSL_SESSION_free(handle)
    }
}
