import Foundation

/// Keys and certificates for one run of the tests, made by the `openssl` tool in a temporary directory.
struct Certificates: Sendable {
    static let password = "correct horse"
    static let shared = Result { try Certificates() }

    let directory: String

    func path(_ name: String) -> String { "\(directory)/\(name)" }

    private init() throws {
        directory = NSTemporaryDirectory() + "apus-tls-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        try makeSelfSigned("ecdsa", key: ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"])
        try makeSelfSigned("rsa", key: ["rsa:2048"])
        try makeSelfSigned("weak", key: ["rsa:1024"])
        try openssl("ec", "-in", path("ecdsa.key"), "-out", path("ecdsa-traditional.key"))
        try openssl(
            "pkcs8",
            "-topk8",
            "-v2",
            "aes-256-cbc",
            "-passout",
            "pass:\(Self.password)",
            "-in",
            path("ecdsa.key"),
            "-out",
            path("ecdsa-encrypted.key")
        )
        try openssl(
            "rsa",
            "-aes128",
            "-traditional",
            "-passout",
            "pass:\(Self.password)",
            "-in",
            path("rsa.key"),
            "-out",
            path("rsa-encrypted.key")
        )
        try makeChain()
        try write(read("ecdsa.pem") + read("ecdsa.key"), to: "both.pem")
        try write("no certificate here\n", to: "text.txt")
        try write(read("ecdsa.pem").replacingOccurrences(of: "MII", with: "AII"), to: "damaged.pem")
        try write(String(repeating: "x", count: 1024 * 1024), to: "largest.txt")
        try write(String(repeating: "x", count: 1024 * 1024 + 1), to: "too-large.txt")
        // The keys go when the tests are over; there is no later moment to hang this on.
        atexit {
            guard let made = try? Certificates.shared.get() else { return }
            try? FileManager.default.removeItem(atPath: made.directory)
        }
    }

    /// root → leaf.key, with the root appended to the leaf's file as a chain.
    private func makeChain() throws {
        try openssl(
            "req",
            "-new",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost,IP:127.0.0.1",
            "-keyout",
            path("leaf.key"),
            "-out",
            path("leaf.csr")
        )
        try openssl(
            "x509",
            "-req",
            "-in",
            path("leaf.csr"),
            "-CA",
            path("ecdsa.pem"),
            "-CAkey",
            path("ecdsa.key"),
            "-CAcreateserial",
            "-copy_extensions",
            "copy",
            "-days",
            "2",
            "-out",
            path("leaf.pem")
        )
        try write(read("leaf.pem") + read("ecdsa.pem"), to: "chain.pem")
    }

    private func makeSelfSigned(_ name: String, key: [String]) throws {
        let arguments =
            ["req", "-x509", "-newkey"] + key + [
                "-nodes", "-days", "2", "-subj", "/CN=localhost",
                "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                "-keyout", path("\(name).key"), "-out", path("\(name).pem"),
            ]
        try run(arguments)
    }

    private func openssl(_ arguments: String...) throws {
        try run(arguments)
    }

    private func run(_ arguments: [String]) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["openssl"] + arguments
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else { throw ToolFailed(arguments: arguments) }
    }

    private func read(_ name: String) throws -> String {
        try String(contentsOfFile: path(name), encoding: .utf8)
    }

    private func write(_ text: String, to name: String) throws {
        try text.write(toFile: path(name), atomically: true, encoding: .utf8)
    }

    private struct ToolFailed: Error {
        let arguments: [String]
    }
}
