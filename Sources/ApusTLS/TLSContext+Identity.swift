import COpenSSL

extension TLSContext {
    /// Takes a certificate chain and its key, and checks that they belong together.
    func use(_ identity: TLSConfiguration.Identity) throws(TLSError) {
        let keyPath = identity.keyFile ?? identity.certificateFile
        let chain = try PEMFile(path: identity.certificateFile, meaning: "certificate file").certificates()
        let key = try PEMFile(path: keyPath, meaning: "private key file").privateKey(password: identity.keyPassword)
        guard let leaf = chain.first else { return }
        guard X509_check_private_key(leaf.handle, key.handle) == 1 else {
            OpenSSLErrors.clear()
            throw .configuration(
                "The private key in \(keyPath) does not match the certificate in \(identity.certificateFile)"
            )
        }
        guard SSL_CTX_use_certificate(handle, leaf.handle) == 1 else {
            throw refused("The certificate in \(identity.certificateFile)")
        }
        for certificate in chain.dropFirst() {
            guard apus_ssl_ctx_add_chain_certificate(handle, certificate.handle) == 1 else {
                throw refused("A chain certificate in \(identity.certificateFile)")
            }
        }
        guard SSL_CTX_use_PrivateKey(handle, key.handle) == 1 else {
            throw refused("The private key in \(keyPath)")
        }
    }

    private func refused(_ subject: String) -> TLSError {
        .configuration("\(subject) is refused by the TLS library: \(OpenSSLErrors.takeText())")
    }
}
