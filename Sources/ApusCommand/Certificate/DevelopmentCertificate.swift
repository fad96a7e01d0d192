import Apus
import Glibc

/// A certificate for localhost that names itself as its issuer: for development, made where there is none.
///
/// It is kept in `certs-dev` where the current directory has that, else in the user's cache (`$XDG_CACHE_HOME/apus` or
/// `~/.cache/apus`), so that a client that was told to trust it need not be told again.
public enum DevelopmentCertificate {
    /// Finds the certificate, or makes it with the `openssl` command; a new one takes the place of one that has expired.
    public static func prepare() throws(ConfigurationError) -> Configuration.TLS {
        try prepare(in: try directory())
    }

    static func prepare(in directory: String) throws(ConfigurationError) -> Configuration.TLS {
        let tls = Configuration.TLS(
            certificateFile: directory + "/cert.pem",
            keyFile: directory + "/key.pem"
        )
        if access(tls.certificateFile, R_OK) == 0, access(tls.keyFile, R_OK) == 0 {
            // Still valid tomorrow, or given by hand and not to be touched where openssl is missing.
            let check = ["openssl", "x509", "-checkend", "86400", "-noout", "-in", tls.certificateFile]
            switch Program.run(check) {
            case .exited(0), .notFound: return tls
            default: break
            }
        }
        try make(tls)
        return tls
    }

    /// Makes both files under other names first, so that no reader sees half of one.
    private static func make(_ tls: Configuration.TLS) throws(ConfigurationError) {
        let suffix = ".\(getpid())"
        let certificate = tls.certificateFile + suffix
        let key = tls.keyFile + suffix
        defer {
            unlink(certificate)
            unlink(key)
        }
        switch Program.run(request(certificate: certificate, key: key)) {
        case .exited(0): break
        case .notFound:
            throw error("the openssl command is not installed: install it (apt install openssl), or give --certfile")
        case .exited(let code):
            throw error("openssl could not make a certificate in \(tls.certificateFile) (exit code \(code))")
        case .failed(let code):
            throw error("openssl cannot be started: \(text(code))")
        }
        guard rename(key, tls.keyFile) == 0, rename(certificate, tls.certificateFile) == 0 else {
            throw error("cannot write \(tls.certificateFile): \(text(errno))")
        }
    }

    /// P-256 is what every client can do; openssl gives the key's file to its owner alone.
    private static func request(certificate: String, key: String) -> [String] {
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-days", "365", "-subj", "/CN=localhost (Apus development)",
            "-addext", "subjectAltName=DNS:localhost,DNS:*.localhost,IP:127.0.0.1,IP:::1",
            "-addext", "extendedKeyUsage=serverAuth",
            "-keyout", key, "-out", certificate,
        ]
    }

    // MARK: - Where it is kept

    private static func directory() throws(ConfigurationError) -> String {
        if isDirectory("certs-dev") { return "certs-dev" }
        guard let cache = cacheDirectory() else {
            throw error("there is neither a directory certs-dev here nor a home directory to keep a certificate in")
        }
        let directory = cache + "/apus"
        for path in [cache, directory] {
            if mkdir(path, 0o700) != 0, errno != EEXIST {
                throw error("cannot make the directory \(path): \(text(errno))")
            }
        }
        return directory
    }

    private static func cacheDirectory() -> String? {
        // The XDG base directory specification: a relative path is to be ignored.
        if let cache = variable("XDG_CACHE_HOME"), cache.hasPrefix("/") { return cache }
        return variable("HOME").map { $0 + "/.cache" }
    }

    private static func variable(_ name: String) -> String? {
        guard let value = getenv(name), value.pointee != 0 else { return nil }
        return String(cString: value)
    }

    private static func isDirectory(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    private static func error(_ message: String) -> ConfigurationError {
        ConfigurationError(option: "--dev-cert", message)
    }

    private static func text(_ code: Int32) -> String {
        String(cString: strerror(code))
    }
}
