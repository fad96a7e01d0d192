import Foundation
import Testing

/// The floor plan as a test: a module imports only modules of lower floors.
struct FloorTests {
    /// Our modules by floor; modules of one floor do not import each other.
    static let floors: [String: Int] = [
        "ApusGateway": 0,
        "ApusHTTP": 1,
        "ApusTransport": 2, "ApusTLS": 2, "ApusHTTP2": 2, "ApusHTTP3": 2,
        "Apus": 3,
        "ApusCommand": 4,
        "ApusCLI": 5,
    ]

    /// Who may import which C library.
    static let libraries: [String: Set<String>] = [
        "CApusShims": ["ApusTransport"],
        "CZlib": ["ApusHTTP"],
        "COpenSSL": ["ApusTLS"],
        "CNghttp2": ["ApusHTTP2"],
        "CNgtcp2": ["ApusHTTP3"],
        "CNghttp3": ["ApusHTTP3"],
        "CGnuTLS": ["ApusHTTP3"],
    ]

    static let sources = URL(filePath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Sources")

    @Test(arguments: floors.keys.sorted())
    func `A module imports only modules of lower floors`(module: String) throws {
        let floor = try #require(Self.floors[module])
        let imports = try Self.imports(of: module)
        #expect(!imports.isEmpty)
        for (imported, file) in imports {
            if let other = Self.floors[imported] {
                #expect(other < floor, "\(file) imports \(imported)")
            }
            if let users = Self.libraries[imported] {
                #expect(users.contains(module), "\(file) imports \(imported)")
            }
        }
    }

    @Test
    func `Every Swift module has its floor`() throws {
        let modules = try FileManager.default.contentsOfDirectory(atPath: Self.sources.path)
        let swift = modules.filter { $0.hasPrefix("Apus") }
        #expect(Set(swift) == Set(Self.floors.keys))
    }

    /// Each module that a source file of `module` imports, with the file's name.
    private static func imports(of module: String) throws -> [(String, String)] {
        let folder = sources.appending(path: module)
        let files = try #require(FileManager.default.enumerator(atPath: folder.path))
        var found: [(String, String)] = []
        for case let file as String in files where file.hasSuffix(".swift") {
            let text = try String(contentsOf: folder.appending(path: file), encoding: .utf8)
            for line in text.split(separator: "\n") where !line.hasPrefix("//") {
                let words = line.split(separator: " ")
                guard let index = words.firstIndex(of: "import"), index <= 1, index + 1 < words.count else { continue }
                found.append((String(words[index + 1]), file))
            }
        }
        return found
    }
}
