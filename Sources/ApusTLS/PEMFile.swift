import COpenSSL
import Glibc

/// A certificate, counted by the library.
final class Certificate {
    let handle: OpaquePointer

    /// Takes over the caller's reference.
    init(owning handle: OpaquePointer) {
        self.handle = handle
    }

    deinit {
        X509_free(handle)
    }
}

/// A private key, counted by the library.
final class PrivateKey {
    let handle: OpaquePointer

    /// Takes over the caller's reference.
    init(owning handle: OpaquePointer) {
        self.handle = handle
    }

    deinit {
        EVP_PKEY_free(handle)
    }
}

/// The content of a file in PEM form, and the sentences for what can be wrong with it.
final class PEMFile {
    /// More than any chain needs; a wrong path must not fill the memory.
    static let maxSize = 1024 * 1024

    /// How the file is called in a sentence: "The certificate file /etc/…".
    private let subject: String
    /// One byte larger than a file may be, so that a larger one is noticed. The library reads from it through a BIO.
    private let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: maxSize + 1, alignment: 16)
    private var count = 0

    init(path: String, meaning: String) throws(TLSError) {
        subject = "The \(meaning) \(path)"
        if let reason = load(path) { throw .configuration("\(subject) cannot be read: \(reason)") }
    }

    deinit {
        // It may have held a key.
        OPENSSL_cleanse(memory.baseAddress, count)
        memory.deallocate()
    }

    /// Reads the file; returns what went wrong.
    private func load(_ path: String) -> String? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return String(cString: strerror(errno)) }
        defer { close(descriptor) }
        while count < memory.count {
            let room = UnsafeMutableRawBufferPointer(rebasing: memory[count...])
            let taken = read(descriptor, room.baseAddress, room.count)
            if taken < 0, errno == EINTR { continue }
            guard taken >= 0 else { return String(cString: strerror(errno)) }
            if taken == 0 { return nil }
            count += taken
        }
        return "it is larger than \(Self.maxSize) bytes"
    }

    /// The certificates in the order of the file: at least one.
    func certificates() throws(TLSError) -> [Certificate] {
        let bio = try makeBIO()
        defer { BIO_free(bio) }
        OpenSSLErrors.clear()
        var found: [Certificate] = []
        while let certificate = PEM_read_bio_X509(bio, nil, nil, nil) {
            found.append(Certificate(owning: certificate))
        }
        let code = OpenSSLErrors.take()
        let isEnd = ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE
        guard isEnd else {
            throw .configuration("\(subject) holds a damaged certificate: \(OpenSSLErrors.text(code))")
        }
        guard !found.isEmpty else { throw .configuration("\(subject) holds no certificate in PEM form") }
        return found
    }

    /// The first private key.
    func privateKey(password: String?) throws(TLSError) -> PrivateKey {
        let bio = try makeBIO()
        defer { BIO_free(bio) }
        OpenSSLErrors.clear()
        let request = PasswordRequest(password)
        let handle = PEM_read_bio_PrivateKey(bio, nil, answerPassword, Unmanaged.passUnretained(request).toOpaque())
        if let handle { return PrivateKey(owning: handle) }
        OpenSSLErrors.clear()
        guard request.wasAsked else { throw .configuration("\(subject) holds no usable private key in PEM form") }
        throw .configuration(
            password == nil
                ? "\(subject) is encrypted and no password was given"
                : "\(subject) is encrypted and the given password does not open it"
        )
    }

    /// A BIO over the content, which must not outlive this object.
    private func makeBIO() throws(TLSError) -> OpaquePointer {
        guard let bio = BIO_new_mem_buf(memory.baseAddress, Int32(count)) else {
            throw .internalFailure(OpenSSLErrors.takeText())
        }
        return bio
    }
}

/// What the library is told when a key turns out to be encrypted.
private final class PasswordRequest {
    let password: String?
    var wasAsked = false

    init(_ password: String?) {
        self.password = password
    }
}

/// Copies the password where the library wants it; -1: there is none, or none that fits.
private func answerPassword(
    target: UnsafeMutablePointer<CChar>?,
    capacity: Int32,
    isWriting: Int32,
    request: UnsafeMutableRawPointer?
) -> Int32 {
    guard let target, let request else { return -1 }
    let question = Unmanaged<PasswordRequest>.fromOpaque(request).takeUnretainedValue()
    question.wasAsked = true
    guard let password = question.password, password.utf8.count <= Int(capacity) else { return -1 }
    for (index, byte) in password.utf8.enumerated() {
        target[index] = CChar(bitPattern: byte)
    }
    return Int32(password.utf8.count)
}
